import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modicum.measuring import counting
from modicum.measuring.counting import UnknownCostError, count_macs, count_network_macs, count_operations, register_cost


class TestCountMacs:
    def test_convolution(self):
        # 2 images, 6 channels, 5 x 5 positions, each of 4 channels / 2 groups x 3 x 3
        convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        assert count_macs(convolution, torch.zeros(2, 4, 9, 9)) == 2 * 6 * 25 * 2 * 9

    def test_linear(self):
        assert count_macs(nn.Linear(7, 3), torch.zeros(5, 7)) == 5 * 7 * 3

    def test_attention(self):
        query, key = torch.zeros(2, 4, 10, 8), torch.zeros(2, 4, 6, 8)
        assert count_macs(F.scaled_dot_product_attention, query, key, key) == 2 * (2 * 4 * 10 * 6 * 8)

    @pytest.mark.parametrize("training", [True, False])
    def test_attention_layer(self, training):
        layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, batch_first=True).train(training)
        projections, products, feed_forward = 3 * 5 * 16 * (3 * 16 + 16), 2 * (3 * 5 * 5 * 16), 2 * (3 * 5 * 16 * 32)
        assert count_macs(layer, torch.zeros(3, 5, 16)) == projections + products + feed_forward

    def test_attention_keeps_its_fast_path_afterwards(self):
        count_macs(nn.Linear(2, 2), torch.zeros(1, 2))
        assert torch.backends.mha.get_fastpath_enabled()

    def test_attention_gets_its_fast_path_back_after_an_error(self):
        with pytest.raises(RuntimeError):
            count_macs(nn.Linear(2, 2), torch.zeros(1, 3))
        assert torch.backends.mha.get_fastpath_enabled()

    def test_normalisation_pooling_resizing_and_element_wise_work_are_free(self):
        work = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2))
        assert count_macs(work.eval(), torch.zeros(1, 3, 8, 8)) == 0

    def test_inference_mode_makes_no_difference(self):
        with torch.inference_mode():
            assert count_macs(nn.Linear(7, 3), torch.zeros(5, 7)) == 5 * 7 * 3

    def test_several_inputs(self):
        assert count_macs(torch.matmul, torch.zeros(2, 3), torch.zeros(3, 4)) == 2 * 3 * 4

    def test_no_gradient_is_kept(self):
        outputs, linear = [], nn.Linear(2, 2)
        count_macs(lambda x: outputs.append(linear(x)), torch.zeros(1, 2))
        assert not outputs[0].requires_grad


class TrainedWithAuxiliaryHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.auxiliary = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x) + self.auxiliary(x) if self.training else self.head(x)


class TestCountNetworkMacs:
    def test_resnet50_at_224_px(self):
        import torchvision

        with torch.device("meta"):
            network = torchvision.models.resnet50()
        assert count_network_macs(network, (1, 3, 224, 224)) == 4_089_184_256  # published as 4.09 G

    def test_network_stays_as_it_is(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
        network[2].eval()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        count_network_macs(network, (2, 3, 8, 8))
        assert [module.training for module in network] == [True, True, False]
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())

    def test_evaluation_counts_whatever_the_mode(self):
        assert count_network_macs(TrainedWithAuxiliaryHead().train(), (1, 4)) == 4 * 3

    def test_batch_counts(self):
        assert count_network_macs(nn.Linear(4, 3), [6, 4]) == 6 * 4 * 3

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_precision_makes_no_difference(self, dtype):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(dtype)
        assert count_network_macs(network, (1, 3, 8, 8)) == 4 * 36 * 27


@pytest.fixture
def shift(monkeypatch):
    """An operator from outside torch, and formulas that are forgotten after the test."""
    monkeypatch.setattr(counting, "_formulas", dict(counting._formulas))
    with torch.library._scoped_library("modicum_tests", "FRAGMENT") as library:
        library.define("shift(Tensor x, int by) -> Tensor")
        library.impl("shift", lambda x, by: x + by, "CompositeExplicitAutograd")
        yield torch.ops.modicum_tests.shift


class TestCountOperations:
    def test_operator_without_formula_is_refused_by_name(self, shift):
        message = r'cannot count the cost of operator modicum_tests::shift: .*register_cost\("modicum_tests::shift"\)'
        with pytest.raises(UnknownCostError, match=message):
            count_macs(lambda x: shift(x, 2), torch.zeros(3))

    @pytest.mark.parametrize("device", ["cpu", "meta"])
    def test_formulas_tell_kinds_apart_in_one_pass(self, shift, device):
        @register_cost("modicum_tests::shift")
        def _(x, by, *, out):
            return {"addition": out.numel() * by}

        linear, x = nn.Linear(4, 3, device=device), torch.zeros(2, 4, device=device)
        found = count_operations(lambda x: shift(linear(x), 5), x)
        assert found == {"multiply-add": 2 * 4 * 3, "addition": 2 * 3 * 5}

    def test_operator_that_counts_as_nothing_says_so(self, shift):
        register_cost("modicum_tests::shift")(lambda x, by, *, out: {})
        assert count_macs(lambda x: shift(x, 2), torch.zeros(3)) == 0

    def test_second_formula_is_refused(self, shift):
        register_cost("modicum_tests::shift")(lambda x, by, *, out: {})
        with pytest.raises(ValueError, match="operator modicum_tests::shift has a registered cost already"):
            register_cost("modicum_tests::shift")

    def test_products_that_torch_does_not_count_are_refused(self):
        with pytest.raises(UnknownCostError, match="operator aten::_fft_r2c"):
            count_macs(torch.fft.rfft, torch.zeros(8))

    @pytest.mark.parametrize("device", ["cpu", "meta"])
    def test_lstm(self, device):
        layer = nn.LSTM(5, 7, batch_first=True, bidirectional=True, device=device)
        steps = torch.zeros(3, 11, 5, device=device)
        assert count_macs(layer, steps) == 2 * 3 * 11 * 4 * 7 * (5 + 7)

    def test_everything_that_is_executed_counts_whatever_the_inputs_are(self):
        linear = nn.Linear(2, 2)
        assert count_macs(lambda texts: [linear(torch.zeros(len(text), 2)) for text in texts], ["a", "bcd"]) == 16
