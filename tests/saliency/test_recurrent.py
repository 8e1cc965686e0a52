import pytest
import torch
from torch.nn import functional as F

from modicum.saliency.recurrent import ConvNormRelu, RecurrentConv


def parameters(module):
    return sum(each.numel() for each in module.parameters())


def test_without_steps_it_is_convolution_norm_relu():
    layer, plain = RecurrentConv(5, 8, steps=0), ConvNormRelu(5, 8)
    plain.conv.weight.data = layer.feed_forward.weight.data
    features = torch.randn(2, 5, 7, 6)
    torch.testing.assert_close(layer(features), plain(features), rtol=0, atol=0)


def test_unrolled_steps_equal_a_plain_loop():
    torch.manual_seed(0)
    layer = RecurrentConv(3, 8, steps=4)
    features = torch.randn(2, 3, 9, 7)
    drive = F.conv2d(features, layer.feed_forward.weight, padding=1)
    state = torch.zeros_like(drive)
    for _ in range(5):
        total = drive + F.conv2d(state, layer.recurrent.weight, padding=1)
        mean, var = total.mean((0, 2, 3), keepdim=True), total.var((0, 2, 3), unbiased=False, keepdim=True)
        state = ((total - mean) / (var + 1e-5).sqrt()).relu()
    torch.testing.assert_close(layer(features), state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_kernel_is_one_parameter_whatever_the_steps(steps):
    fewer, more = RecurrentConv(4, 16, steps=steps), RecurrentConv(4, 16, steps=steps + 1)
    assert parameters(more) - parameters(fewer) == 2 * 16


def test_shared_norm_adds_nothing_per_step():
    one, five = (RecurrentConv(4, 16, steps=steps, norms="shared") for steps in (1, 5))
    assert parameters(one) == parameters(five)


def test_each_step_widens_the_receptive_field_by_two_pixels():
    layer = RecurrentConv(1, 8, steps=3).eval()
    image = torch.zeros(1, 1, 21, 21, requires_grad=True)
    layer(image + 1)[0, :, 10, 10].sum().backward()
    reached = image.grad[0, 0].abs().sum(0).nonzero()
    assert (int(reached.min()), int(reached.max())) == (10 - 4, 10 + 4)


def test_gradient_reaches_the_kernel_through_every_step():
    layer = RecurrentConv(3, 8, steps=2).double()
    features = torch.randn(1, 3, 5, 5, dtype=torch.float64)

    def through(kernel):
        return torch.func.functional_call(layer, {"recurrent.weight": kernel}, (features,)).sum(dim=(2, 3))

    kernel = torch.randn(8, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    layer.eval()
    assert torch.autograd.gradcheck(through, (kernel,), eps=1e-7, atol=1e-4, fast_mode=True)


def test_too_many_steps_are_refused():
    with pytest.raises(ValueError, match=r"steps must be 0\.\.5, got 6"):
        RecurrentConv(3, 8, steps=6)
