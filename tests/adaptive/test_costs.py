from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modicum.adaptive.costs import MenuCosts, UnitCosts, count_macs, count_network_macs

MENU = MenuCosts(labels=("32 px", "64 px", "48 px"), per_route=(10.0, 40.0, 22.0), decision=1.0)
UNITS = UnitCosts(per_unit=(4.0, 2.0, 1.0), floor=8.0, decision=0.5)
KEEP = torch.tensor([[True, True, True], [False, True, False], [False, False, False]])


class TestMenuCosts:
    def test_route_costs_include_the_decision(self):
        costs = MENU.of(torch.tensor([1, 0, 1]))
        assert costs.tolist() == [41, 11, 41]
        assert costs.dtype == torch.float64

    def test_no_routes_cost_nothing(self):
        assert MENU.of(torch.empty(0, dtype=torch.int64)).shape == (0,)

    def test_plain_network_is_the_dearest_route_without_the_decision(self):
        assert MENU.plain == 40

    def test_plain_network_costs_what_it_takes_alone_where_that_is_known(self):
        costs = replace(MENU, alone=30.0)
        assert costs.plain == 30
        assert costs.of(torch.tensor([1])).tolist() == [41]

    def test_plain_network_alone_has_its_own_time(self):
        times = replace(MENU, alone=30.0).in_milliseconds(lambda route: 1.0 + route.item(), decision=0.1, plain=2.5)
        assert (times.alone, times.plain) == (2.5, 2.5)

    def test_names_are_the_labels(self):
        assert MENU.names(torch.tensor([2, 2, 0])) == ["48 px", "48 px", "32 px"]

    def test_menu_goes_from_dearest_to_cheapest(self):
        assert MENU.menu().tolist() == [1, 2, 0]

    def test_menu_tells_large_costs_apart(self):
        assert MenuCosts(("a", "b"), (2.0**40, 2.0**40 + 1)).menu().tolist() == [1, 0]  # equal in float32

    def test_milliseconds_come_from_each_route_by_itself(self):
        times = MENU.in_milliseconds(lambda route: {0: 0.3, 1: 1.2, 2: 0.9}[route.item()], decision=0.1, plain=9.0)
        assert times == MenuCosts(("32 px", "64 px", "48 px"), (0.3, 1.2, 0.9), 0.1, "ms")

    @pytest.mark.parametrize(("labels", "per_route"), [(("a",), (1.0, 2.0)), ((), ())])
    def test_labels_and_costs_must_match(self, labels, per_route):
        with pytest.raises(ValueError, match=r"a menu needs one cost per label, got \(.*\) for \(.*\)"):
            MenuCosts(labels, per_route)


class TestUnitCosts:
    def test_route_costs_floor_decision_and_the_units_it_keeps(self):
        costs = UNITS.of(KEEP)
        assert costs.tolist() == [15.5, 10.5, 8.5]
        assert costs.dtype == torch.float64

    def test_no_routes_cost_nothing(self):
        assert UNITS.of(KEEP[:0]).shape == (0,)

    def test_plain_network_keeps_all_and_decides_nothing(self):
        assert UNITS.plain == 15

    def test_names_tell_how_many_units_stay(self):
        assert UNITS.names(KEEP) == ["3 of 3 blocks", "1 of 3 blocks", "0 of 3 blocks"]

    def test_routes_are_too_many_to_list(self):
        assert UNITS.menu() is None

    def test_milliseconds_come_from_each_unit_over_the_floor(self):
        seen = []

        def milliseconds(route):
            seen.append(route.tolist())
            return 2 + 0.5 * route[0, 0].item() + 0.25 * route[0, 1].item() - 0.1 * route[0, 2].item()

        times = UNITS.in_milliseconds(milliseconds, decision=0.1, plain=9.0)
        assert times == UnitCosts((0.5, 0.25, 0.0), 2.0, 0.1, "ms")  # no unit takes less than nothing
        assert seen == [[[False] * 3], [[True, False, False]], [[False, True, False]], [[False, False, True]]]


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
