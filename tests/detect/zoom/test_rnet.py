"""R-net: its published sizes, that it learns gains, and what it refuses."""

import numpy as np
import pytest
import torch
from drawn_sets import as_boxes

from modicum.detect.boxes import Detections, Objects
from modicum.detect.zoom.dense_training import dense_targets, map_loss, train_dense_rnet
from modicum.detect.zoom.matching import match_detections
from modicum.detect.zoom.rnet import (
    MAP_SCALE,
    DenseRNet,
    GainMaps,
    RNet,
    box_inputs,
    predict_gain_map,
    predict_gains,
    published_dense_rnet,
)
from modicum.detect.zoom.rnet_training import GainPairs, RNetTraining, assess_rnet, gain_loss, gain_pairs, train_rnet
from modicum.storage.errors import DivergedError

WIDTH, HEIGHT = 800, 600


def draw_found(seed, count=60, num_features=None):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, [700, 500], (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 100, (count, 2))], axis=1)
    features = None if num_features is None else torch.from_numpy(random.normal(size=(count, num_features))).float()
    labels = torch.from_numpy(random.integers(0, 2, count))
    return Detections(as_boxes(boxes), torch.from_numpy(random.random(count)).float(), labels, features)


def parameters(network):
    return sum(each.numel() for each in network.parameters())


class TestNetwork:
    def test_untrained_it_promises_nothing(self):
        assert predict_gains(RNet(2), draw_found(0), WIDTH, HEIGHT).tolist() == [0.0] * 60
        assert np.abs(predict_gain_map(DenseRNet(8), torch.randn(8, 4, 5))).max() == 0

    def test_parameters_are_those_of_two_layers(self):
        assert parameters(RNet(1)) == 8 + (5 + 8) * 256 + 256 + 257
        assert parameters(RNet(1, 64)) == 8 + (5 + 8 + 64) * 256 + 256 + 257 + 2 * 64
        assert parameters(RNet(1, hidden=4096)) == 8 + 14 * 4096 + 4097

    def test_published_decoder_draws_64_by_64_cells(self):
        decoder = published_dense_rnet()

        maps = decoder.eval()(torch.zeros(1, 2048, 16, 16))

        assert maps.found.shape == maps.alarms.shape == (1, 64, 64)
        assert decoder.enlargement == 4
        doubling = [(256 * 128 * 4 + 128) + (128 * 128 * 9 + 128), (128 * 64 * 4 + 64) + (64 * 64 * 9 + 64)]
        assert parameters(decoder) == 2048 * 256 * 9 + 256 + sum(doubling) + 64 * 2 * 9 + 2

    def test_inputs_are_finite_for_sure_scores_and_boxes_without_area(self):
        found = Detections(as_boxes([[5, 5, 5, 5], [0, 0, 800, 600]]), torch.tensor([0.0, 1.0]), torch.tensor([0, 1]))

        inputs = box_inputs(found, WIDTH, HEIGHT)

        assert inputs.geometry.isfinite().all()
        assert inputs.geometry[1, 3:].tolist() == [0.5, 0.5]

    def test_no_detections_have_no_gains(self):
        assert predict_gains(RNet(2, 16), Detections.empty(), WIDTH, HEIGHT).shape == (0,)

    @pytest.mark.parametrize(("made_for", "given"), [(16, None), (0, 16), (16, 8)])
    def test_features_of_another_number_are_refused(self, made_for, given):
        with pytest.raises(ValueError, match=f"made for {made_for} features of each detection, got {given or 0}"):
            predict_gains(RNet(2, made_for), draw_found(0, num_features=given), WIDTH, HEIGHT)


def linear_pairs(seed, num_features=None):
    """Detections whose gain follows from score and width, or from the first feature."""
    found = draw_found(seed, 400, num_features)
    inputs = box_inputs(found, WIDTH, HEIGHT)
    gains = 0.5 - 0.2 * inputs.geometry[:, 1] + 0.05 * inputs.geometry[:, 0]
    if inputs.features is not None:
        gains = 0.3 * inputs.features[:, 0]
    return GainPairs(inputs, gains, found.scores, torch.zeros(400, dtype=torch.int64))


class TestTraining:
    how = RNetTraining(least_steps=200, epochs=1)

    @pytest.mark.parametrize("num_features", [None, 6])
    def test_it_learns_gains_that_scores_boxes_and_features_tell(self, num_features):
        torch.manual_seed(0)
        rnet = RNet(2, num_features or 0, hidden=64)

        history = train_rnet(rnet, linear_pairs(0, num_features), self.how)
        fit = assess_rnet(rnet, linear_pairs(1, num_features))

        assert history[-1] < 0.2 * history[0]
        assert fit.r2 > 0.7
        assert fit.rank_correlation > 0.85 > fit.entropy_rank_correlation
        assert not rnet.training

    def test_the_same_seed_gives_the_same_network_and_leaves_torchs_generator_alone(self):
        networks = []
        for _ in range(2):
            torch.manual_seed(0)
            networks.append(RNet(2, hidden=8, dropout=0.3))
            before = torch.get_rng_state()
            train_rnet(networks[-1], linear_pairs(0), RNetTraining(least_steps=5, epochs=1))
            assert torch.get_rng_state().equal(before)

        first, second = (each.state_dict() for each in networks)
        assert all(first[name].equal(second[name]) for name in first)

    def test_few_pictures_get_enough_steps(self):
        few = linear_pairs(0)
        history = train_rnet(RNet(2, hidden=4), few, RNetTraining(epochs=1, least_steps=7, batch_size=200))

        assert len(history) == 4  # of two steps each

    def test_diverging_is_said(self):
        pairs = linear_pairs(0)

        with pytest.raises(DivergedError, match="the loss of R-net is nan"):
            train_rnet(RNet(2), pairs._replace(gains=pairs.gains * float("nan")), self.how)

    def test_hubers_loss_is_half_the_square_near_and_linear_far_away(self):
        predicted, gains = torch.tensor([0.1, 2.0]), torch.zeros(2)

        assert gain_loss(predicted, gains, None) == pytest.approx((0.01 + 4) / 2)
        assert gain_loss(predicted, gains, 0.5) == pytest.approx((0.005 + 0.5 * (2 - 0.25)) / 2)

    def test_pairs_leave_out_what_lies_in_regions_to_be_ignored(self):
        found = Detections(
            as_boxes([[0, 0, 40, 40], [300, 300, 340, 340]]),
            torch.tensor([0.5, 0.6]),
            torch.zeros(2, dtype=torch.int64),
        )
        crowd = Objects(as_boxes([[0, 0, 100, 100]]), torch.tensor([0]), torch.tensor([True]))
        matches = match_detections(found, Detections.empty(), crowd)

        pairs = gain_pairs([found, found], [matches, matches], [(WIDTH, HEIGHT)] * 2)

        assert pairs.scores.tolist() == pytest.approx([0.6, 0.6])
        assert pairs.images.tolist() == [0, 1]
        with pytest.raises(ValueError, match="no coarse detection counts"):
            gain_pairs([found.take(slice(0, 1))], [match_detections(found.take(slice(0, 1)), found, crowd)], [(1, 1)])

    def test_a_constant_gain_has_no_correlation(self):
        pairs = linear_pairs(0)

        fit = assess_rnet(RNet(2), pairs._replace(gains=torch.zeros(400)))

        assert np.isnan([fit.r2, fit.correlation, fit.rank_correlation]).all()


class TestDense:
    @staticmethod
    def matches():
        """An object that the coarse pass half saw, one that it missed, and a false alarm."""
        boxes = as_boxes([[0, 0, 100, 100], [400, 300, 500, 400], [600, 0, 700, 100]])
        zeros = torch.zeros(3, dtype=torch.int64)
        coarse = Detections(boxes[[0, 2]], torch.tensor([0.4, 0.7]), zeros[:2])
        fine = Detections(boxes, torch.tensor([0.9, 0.8, 0.1]), zeros)
        return match_detections(coarse, fine, Objects(boxes[:2], zeros[:2], zeros[:2].bool()))

    def test_targets_hold_the_gains_of_objects_and_of_false_alarms_in_their_places(self):
        found, alarms = (each[0] for each in dense_targets(self.matches(), WIDTH, HEIGHT, rows=6, columns=8))

        assert (float(found[0, 0]), float(found[3, 4])) == pytest.approx((0.5, 0.8))
        assert float(found.sum()) == pytest.approx(1.3)
        assert float(alarms[0, 6]) == float(alarms.sum()) == pytest.approx(0.6)

    def test_cells_without_a_gain_weigh_as_much_as_those_with_one(self):
        wanted, drawn = torch.zeros(1, 10, 10), torch.full((1, 10, 10), 0.01)
        wanted[0, 0, 0] = 0.5

        expected = (MAP_SCALE * 0.49) ** 2 + (MAP_SCALE * 0.01) ** 2
        assert map_loss(drawn, wanted) == pytest.approx(expected, rel=1e-4)

    def test_it_learns_to_draw_gains_from_features(self):
        generator = torch.Generator().manual_seed(0)
        spots = [(torch.rand(6, 8, generator=generator) > 0.9).float() for _ in range(12)]
        features = [torch.stack([spot, torch.rand(6, 8, generator=generator)]) for spot in spots]
        targets = [GainMaps(0.05 * spot[None], torch.zeros(1, 6, 8)) for spot in spots]
        torch.manual_seed(0)
        rnet = DenseRNet(2, (16,))

        history = train_dense_rnet(rnet, features[:8], targets[:8], epochs=60, batch_size=4, rate=1e-2)

        assert history[-1] < 0.1 * history[0]
        for seen, spot in zip(features[8:], spots[8:], strict=True):
            drawn = predict_gain_map(rnet, seen)
            assert np.corrcoef(drawn.ravel(), spot.numpy().ravel())[0, 1] > 0.9

    def test_images_of_mixed_size_are_batched_by_their_shape(self):
        features = [torch.zeros(2, 4, 6), torch.zeros(2, 5, 5), torch.zeros(2, 4, 6)]
        targets = [GainMaps(*[torch.zeros(1, 2 * each.shape[1], 2 * each.shape[2])] * 2) for each in features]

        assert len(train_dense_rnet(DenseRNet(2, (4, 4)), features, targets, epochs=2)) == 2
