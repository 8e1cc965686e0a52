import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from modicum.measuring.counting import count_macs
from modicum.measuring.memory import peak_memory
from modicum.nn import attention
from modicum.nn.attention import NonLocalBlock, attend, attend_explicitly

DIRECTIONS = ("sources", "outputs")


def draw(batch=2, num_outputs=37, num_sources=41, width=8, value_width=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = ((batch, num_outputs, width), (batch, num_sources, width), (batch, num_sources, value_width))
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def gradients(attention_of, parts, normalize):
    result = attention_of(*parts, scale=0.7, normalize=normalize)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    return torch.autograd.grad((result * weights).sum(), parts)


@pytest.mark.parametrize("normalize", DIRECTIONS)
@given(
    batch=st.integers(1, 3),
    num_outputs=st.integers(1, 60),
    num_sources=st.integers(1, 60),
    width=st.integers(1, 9),
    value_width=st.integers(1, 9),
)
def test_equals_the_explicit_matrix_in_any_shape(normalize, batch, num_outputs, num_sources, width, value_width):
    parts = draw(batch, num_outputs, num_sources, width, value_width)

    result = attend(*parts, scale=0.7, normalize=normalize)

    torch.testing.assert_close(result, attend_explicitly(*parts, scale=0.7, normalize=normalize), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value_width", [8, 3, 16])
@pytest.mark.parametrize("normalize", DIRECTIONS)
def test_has_the_gradients_of_the_explicit_matrix(normalize, value_width):
    parts = draw(value_width=value_width)

    found = gradients(attend, parts, normalize)

    for gradient, expected in zip(found, gradients(attend_explicitly, parts, normalize), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 37 * 16, 37 * 41 * 2])
def test_blocks_of_any_size_give_one_result_and_one_gradient(monkeypatch, block):
    parts = draw(batch=3, num_sources=50, dtype=torch.float64)
    monkeypatch.setattr(attention, "_CPU_BLOCK", block)

    result = attend(*parts, scale=0.7, normalize="outputs")
    found = gradients(attend, parts, "outputs")

    expected = attend_explicitly(*parts, scale=0.7, normalize="outputs")
    torch.testing.assert_close(result, expected, atol=1e-12, rtol=0)
    for gradient, right in zip(found, gradients(attend_explicitly, parts, "outputs"), strict=True):
        torch.testing.assert_close(gradient, right, atol=1e-11, rtol=0)


def test_the_weights_of_a_source_sum_to_one_over_the_outputs():
    queries, keys, _ = draw()

    result = attend(queries, keys, torch.ones(2, 41, 1), scale=1.0, normalize="outputs")

    torch.testing.assert_close(result.sum(dim=1), torch.full((2, 1), 41.0))


def test_the_weights_of_an_output_sum_to_one_over_the_sources():
    queries, keys, _ = draw()

    result = attend(queries, keys, torch.ones(2, 41, 1), scale=1.0)

    torch.testing.assert_close(result, torch.ones(2, 37, 1))


@pytest.mark.parametrize("normalize", DIRECTIONS)
def test_features_too_large_for_half_precision_logits_stay_finite_under_autocast(normalize):
    queries, keys, values = (300 * part for part in draw())  # logits up to 1e6; float16 ends at 65504

    with torch.autocast("cpu", torch.float16):
        result = attend(queries, keys, values, scale=1.0, normalize=normalize)

    expected = attend_explicitly(queries, keys, values, scale=1.0, normalize=normalize)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("normalize", DIRECTIONS)
def test_a_gradient_under_autocast_is_not_rounded(normalize):
    parts = draw()

    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(attend, parts, normalize)

    for gradient, expected in zip(found, gradients(attend_explicitly, parts, normalize), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normalize", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_result_has_the_dtype_of_the_values(normalize, dtype):
    parts = draw(dtype=dtype)

    assert attend(*parts, scale=1.0, normalize=normalize).dtype == dtype


def test_the_fused_kernel_runs_forward_and_backward():
    parts = draw(value_width=3)

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        gradients(attend, parts, "sources")

    names = {event.key for event in profiled.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in names


def training_step(normalize, side):
    features = torch.randn(1, 16, side, side, requires_grad=True)
    block = NonLocalBlock(16, normalize=normalize)
    return lambda: block(features).square().mean().backward()


@pytest.mark.parametrize("normalize", DIRECTIONS)
def test_training_never_holds_the_matrix_of_all_pairs(normalize):
    side = 64  # a matrix of 64 MiB, which the explicit form holds three times

    assert peak_memory(training_step, normalize, side) < 32 * 2**20


# Not on the CPU over sources: torch's counter knows the fused kernels of GPUs only.
@pytest.mark.parametrize(("normalize", "device"), [("sources", "meta"), ("outputs", "meta"), ("outputs", "cpu")])
def test_both_matrix_products_are_counted(normalize, device):
    parts = [torch.empty(2, 50, 8, device=device)] * 3

    macs = count_macs(lambda *given: attend(*given, scale=1.0, normalize=normalize), *parts)

    assert macs == 2 * 2 * 50 * 50 * 8


class TestNonLocalBlock:
    def test_a_fresh_one_changes_nothing(self):
        features = torch.randn(2, 6, 5, 7)

        assert torch.equal(NonLocalBlock(6)(features), features)

    @pytest.mark.parametrize("normalize", DIRECTIONS)
    def test_equals_its_formula(self, normalize):
        block = awake(NonLocalBlock(6, inner_channels=4, scale=0.5, normalize=normalize))
        features = torch.randn(2, 6, 5, 7)

        theta, phi, g = (part(features).flatten(2) for part in (block.theta, block.phi, block.g))
        logits = 0.5 * torch.einsum("bci,bcj->bij", theta, phi)
        weights = logits.softmax(dim=2 if normalize == "sources" else 1)
        gathered = torch.einsum("bij,bcj->bci", weights, g).view(2, 4, 5, 7)

        torch.testing.assert_close(block(features), features + block.projection(gathered), atol=1e-5, rtol=1e-5)

    def test_the_published_one_has_its_parameters(self):
        assert sum(each.numel() for each in NonLocalBlock(64).parameters()) == 8_352

    @pytest.mark.parametrize("normalize", DIRECTIONS)
    def test_can_be_exported_without_a_loop_over_every_block(self, normalize):
        block, features = awake(NonLocalBlock(4, normalize=normalize)).eval(), torch.randn(1, 4, 40, 40)

        exported = torch.export.export(block, (features,))

        torch.testing.assert_close(exported.module()(features), block(features), atol=1e-5, rtol=1e-5)
        assert len(exported.graph.nodes) < 80

    @pytest.mark.parametrize("normalize", DIRECTIONS)
    def test_an_exported_one_takes_batches_of_any_size(self, normalize):
        block, features = awake(NonLocalBlock(4, normalize=normalize)).eval(), torch.randn(2, 4, 34, 34)

        exported = torch.export.export(block, (features,), dynamic_shapes=({0: torch.export.Dim("batch")},))

        more = torch.randn(3, 4, 34, 34)
        torch.testing.assert_close(exported.module()(more), block(more), atol=1e-5, rtol=1e-5)

    def test_takes_features_in_any_memory_format(self):
        block, features = awake(NonLocalBlock(4)), torch.randn(2, 4, 5, 6)

        result = block(features.to(memory_format=torch.channels_last))

        torch.testing.assert_close(result, block(features), atol=1e-6, rtol=1e-5)

    def test_refuses_an_unknown_normalisation(self):
        with pytest.raises(ValueError, match="normalize must be one of 'sources', 'outputs', got 'rows'"):
            NonLocalBlock(4, normalize="rows")


def test_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"must be \(B, N, D\), .*, got \(1, 5, 4\), \(1, 5, 3\), \(1, 5, 4\)"):
        attend(torch.ones(1, 5, 4), torch.ones(1, 5, 3), torch.ones(1, 5, 4), scale=1.0)


def awake(block: NonLocalBlock) -> NonLocalBlock:
    with torch.no_grad():
        block.projection.weight.copy_(torch.linspace(-1, 1, block.projection.weight.numel()).view_as(_weight(block)))
    return block


def _weight(block: NonLocalBlock) -> Tensor:
    return block.projection.weight
