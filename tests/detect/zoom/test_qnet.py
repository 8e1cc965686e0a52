"""Q-net: its sizes, its sums against loops, and that untrained its residual form is the greedy policy."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modicum.detect.zoom.gains import BoxGains
from modicum.detect.zoom.learning import (
    QLearning,
    Replay,
    ZoomCase,
    mean_return,
    train_qnet,
    true_return,
)
from modicum.detect.zoom.planning import plan_by_value
from modicum.detect.zoom.qnet import (
    ConvQnet,
    FcQnet,
    ResidualQnet,
    box_sums,
    integral_image,
    values_of,
    window_shapes,
)
from modicum.detect.zoom.windows import Grid, enumerate_windows, spaced_windows

GRID = Grid.of(512, 256, columns=16)  # cells of 32 pixels
LATTICES = enumerate_windows(GRID)
SHAPES = window_shapes(GRID, LATTICES)
NUM_WINDOWS = sum(map(len, LATTICES))


def parameters(network):
    return sum(each.numel() for each in network.parameters())


def random_case(seed, grid=GRID, count=8):
    """Boxes with true gains, and a map of what someone expects of them."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [0.9 * grid.width, 0.8 * grid.height], (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0.02, 0.1, (count, 2)) * grid.width], axis=1)
    truth = BoxGains.of(boxes, random.uniform(-0.2, 1, count), grid)
    expected = BoxGains.of(boxes, truth.gains + random.normal(0, 0.2, count), grid)
    return ZoomCase(expected.map(), truth, enumerate_windows(grid))


class TestNetworks:
    def test_convolutional_form_has_the_parameters_of_its_description_and_a_plane_for_the_price(self):
        assert parameters(ConvQnet(2)) == 7042 + 9 * 16

    def test_fully_connected_form_has_1200_cells_and_34_windows(self):
        assert parameters(FcQnet()) == 1201 * 128 + 128 + 128 * 34 + 34
        grid = Grid(640, 480, 40, 30)
        windows = spaced_windows(grid)
        values = values_of(FcQnet().eval(), grid, windows)(np.zeros((30, 40)), 1.0)
        assert [len(each) for each in values] == [9, 25]

    def test_fully_connected_form_refuses_other_maps(self):
        with pytest.raises(ValueError, match=r"maps of 1200 cells, got \(8, 16\)"):
            FcQnet()(torch.zeros(1, 8, 16), torch.ones(1), SHAPES)

    @settings(deadline=None, max_examples=20)
    @given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 100))
    def test_sums_are_those_of_loops(self, rows, columns, seed):
        maps = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

        sums = box_sums(integral_image(maps), rows, columns)

        expected = maps.unfold(2, rows, 1).unfold(3, columns, 1).sum((4, 5))
        torch.testing.assert_close(sums, expected)

    def test_values_are_as_many_as_windows_and_in_their_order(self):
        cells = torch.zeros(1, 8, 16)
        cells[0, 7, 15] = 1.0  # only the last window of each size holds it

        values = ResidualQnet(ConvQnet(2)).eval()(cells, torch.zeros(1), SHAPES)

        assert values.shape == (1, NUM_WINDOWS)
        assert values[0].nonzero()[:, 0].tolist() == [len(LATTICES[0]) - 1, NUM_WINDOWS - 1]

    def test_untrained_residual_form_is_the_sum_less_the_price(self):
        case = random_case(0)
        values = values_of(ResidualQnet(ConvQnet(2)).eval(), GRID, LATTICES)(case.cells, 4.0)

        for lattice, own in zip(LATTICES, values, strict=True):
            expected = [
                case.cells[GRID.cells_in(window)].sum() - 4 * lattice.pixels / GRID.pixels
                for window in lattice.windows()
            ]
            np.testing.assert_allclose(own, expected, atol=1e-5)

    def test_price_moves_the_values_of_every_form(self):
        torch.manual_seed(0)
        cells = torch.rand(1, 8, 16)
        for network in (ConvQnet(2), ResidualQnet(ConvQnet(2)), FcQnet(128, NUM_WINDOWS)):
            low, high = (network(cells, torch.tensor([price]), SHAPES) for price in (0.5, 8.0))
            assert not torch.allclose(low, high)

    def test_states_of_a_batch_do_not_see_each_other(self):
        torch.manual_seed(0)
        network, cells, price = ConvQnet(2).eval(), torch.rand(3, 8, 16), torch.tensor([0.5, 2.0, 8.0])

        together = network(cells, price, SHAPES)

        alone = torch.cat([network(cells[row : row + 1], price[row : row + 1], SHAPES) for row in range(3)])
        torch.testing.assert_close(together, alone)

    def test_one_network_serves_maps_of_any_shape(self):
        grid = Grid.of(300, 900, columns=12)
        lattices = enumerate_windows(grid)

        values = values_of(ConvQnet(2).eval(), grid, lattices)(np.zeros((grid.rows, grid.columns)), 1.0)

        assert [len(each) for each in values] == [len(each) for each in lattices]


class TestReplay:
    def test_it_keeps_copies(self):
        replay, state = Replay(4, (2, 3)), np.ones((2, 3))

        replay.add(state, 1.0, 0, 0.5, state)
        state[:] = 0

        drawn = replay.draw(1, np.random.default_rng(0))
        assert (drawn.state == 1).all()
        assert (drawn.next_state == 1).all()

    def test_the_oldest_go_first(self):
        replay = Replay(3, (1, 1))
        for number in range(5):
            replay.add(np.zeros((1, 1)), 1.0, number, 0.0, np.zeros((1, 1)))

        drawn = replay.draw(100, np.random.default_rng(0))

        assert len(replay) == 3
        assert set(drawn.action.tolist()) == {2, 3, 4}


class TestReturns:
    truth = BoxGains.of(np.array([[10.0, 10, 50, 50], [100, 10, 140, 50]]), np.array([0.5, 0.25]), GRID)

    def test_a_box_pays_once_and_pixels_each_time(self):
        window = np.array([[0.0, 0, 128, 64]])

        assert true_return(self.truth, window, 4.0) == pytest.approx(0.5 - 4 / 16)
        assert true_return(self.truth, np.repeat(window, 2, 0), 4.0) == pytest.approx(0.5 - 8 / 16)

    def test_a_cut_box_pays_nothing(self):
        assert true_return(self.truth, np.array([[20.0, 0, 60, 60]]), 0.0) == 0


class TestLearning:
    def test_it_earns_nearly_what_the_greedy_policy_earns(self):
        torch.manual_seed(0)
        small = Grid.of(384, 192, columns=12)
        cases, test = ([random_case(seed, small) for seed in seeds] for seeds in (range(40), range(100, 130)))
        network, greedy = ConvQnet(2), self.earned(ResidualQnet(ConvQnet(2)), test)
        before = self.earned(network, test)

        how = QLearning(updates=250, horizon=5, prices=(2.0, 2.0), rate=3e-3, exploration_epochs=3)
        history = train_qnet(network, cases, how)

        assert before < 0 < greedy
        assert self.earned(network, test) > 0.7 * greedy  # more updates come closer, and vary less from seed to seed
        assert len(history) == 250
        assert not network.training

    @staticmethod
    def earned(network, cases, price=2.0):
        values = values_of(network.eval(), cases[0].grid, cases[0].lattices)
        windows = [plan_by_value(case.cells, values, case.lattices, case.grid, price) for case in cases]
        return mean_return(cases, windows, price)

    def test_images_of_mixed_size_are_learnt_from(self):
        other = Grid.of(256, 512, columns=8)
        tall = ZoomCase(
            np.ones((16, 8)) / 100,
            BoxGains.of(np.array([[0.0, 0, 20, 20]]), np.ones(1), other),
            enumerate_windows(other),
        )
        how = QLearning(updates=6, batch_size=4, horizon=2)

        assert np.isfinite(train_qnet(ConvQnet(2), [random_case(0), tall], how)).all()

    def test_images_without_a_gain_are_learnt_from(self):
        nothing = ZoomCase(np.zeros((8, 16)), BoxGains.of(np.zeros((0, 4)), np.zeros(0), GRID), LATTICES)

        assert np.isfinite(train_qnet(ConvQnet(2), [nothing], QLearning(updates=3, batch_size=4))).all()

    def test_the_target_is_the_reward_and_what_comes_after_if_that_is_positive(self):
        """With a network that values everything at -1, stopping is better: the loss is that of the rewards alone."""

        class Constant(nn.Module):
            def __init__(self, value):
                super().__init__()
                self.value = nn.Parameter(torch.tensor(value))

            def forward(self, cells, price, windows):
                return self.value.expand(len(cells), len(LATTICES[1]))

        case = ZoomCase(np.zeros((8, 16)), BoxGains.of(np.zeros((0, 4)), np.zeros(0), GRID), LATTICES[1:])
        how = QLearning(updates=1, batch_size=64, exploration=1.0, prices=(16.0, 16.0), clip=1e9)
        # Every window is a sixteenth of the image, so every reward is -1.
        below, above = Constant(-1.0), Constant(2.0)

        assert train_qnet(below, [case], how)[0] == pytest.approx(0, abs=1e-6)
        assert train_qnet(above, [case], how)[0] == pytest.approx(2 - 0.5)  # Huber of 2 - (-1 + 0.5 * 2)

    def test_exploration_falls_over_the_first_epochs(self):
        how = QLearning(exploration=0.1, exploration_epochs=5)

        assert [how.share_explored(epochs) for epochs in (0, 2.5, 5, 9)] == pytest.approx([1, 0.55, 0.1, 0.1])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"prices": (0.0, 1.0)}, r"prices must be positive and rise, got \(0\.0, 1\.0\)"),
            ({"discount": 1.0}, r"discount must be in \[0, 1\), got 1\.0"),
            ({"exploration": 0.0}, r"exploration must be .* got 0\.0"),
        ],
    )
    def test_options_that_do_not_learn_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            QLearning(**options)

    def test_no_images_are_refused(self):
        with pytest.raises(ValueError, match="at least one image"):
            train_qnet(ConvQnet(2), [])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_values_survive_export():
    pytest.importorskip("onnxscript")
    import onnxruntime

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = ResidualQnet(ConvQnet(2))

        def forward(self, cells, price):
            return self.network(cells, price, SHAPES)

    torch.manual_seed(0)
    network, file = Fixed().eval(), io.BytesIO()
    inputs = (torch.rand(1, 8, 16), torch.tensor([2.0]))
    torch.onnx.export(network, inputs, dynamo=True, input_names=["cells", "price"], verbose=False).save(file)
    session = onnxruntime.InferenceSession(file.getvalue())

    (values,) = session.run(None, {"cells": inputs[0].numpy(), "price": inputs[1].numpy()})

    np.testing.assert_allclose(values, network(*inputs).detach().numpy(), atol=1e-5)
