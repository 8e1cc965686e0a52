import numpy as np
import pytest

from modicum.saliency.metrics import Scorer, f_measure

ROWS, COLUMNS = np.mgrid[:32, :32]


def eight_bit(values):
    return np.asarray(values).astype(np.uint8)


def box(top, bottom):
    return (top <= ROWS) & (bottom > ROWS) & (COLUMNS >= 10) & (COLUMNS < 22)


KNOWN = {  # mae, max_f_per_image, mean_f, adaptive_f, s, max_e, mean_e, adaptive_e, weighted_f by pysodmetrics 1.6.2
    "a ramp on a box": (
        eight_bit((7 * ROWS + 5 * COLUMNS) % 256),
        eight_bit(255 * box(8, 24)),
        (0.441422, 0.383062, 0.288059, 0.0, 0.475979, 0.752188, 0.419376, 0.265971, 0.298320),
    ),
    "a cone on a disk": (
        eight_bit(np.round(np.clip(255 - 20 * np.hypot(ROWS - 15.5, COLUMNS - 16), 0, 255))),
        eight_bit(255 * (np.hypot(ROWS - 15, COLUMNS - 16) < 9)),
        (0.146289, 0.977027, 0.621827, 0.977027, 0.811855, 0.985074, 0.651864, 0.979063, 0.646229),
    ),
    "a shifted box": (
        np.where(box(8, 24), 200, 40).astype(np.uint8),
        eight_bit(255 * box(10, 26)),
        (0.046875, 0.875, 0.872483, 0.875, 0.863576, 0.957759, 0.954995, 0.957759, 0.888788),
    ),
}
NAMES = ["mae", "max_f_per_image", "mean_f", "adaptive_f", "s_measure", "max_e", "mean_e", "adaptive_e", "weighted_f"]


def scored(*pairs):
    scorer = Scorer()
    for number, (saliency, mask) in enumerate(pairs):
        scorer.add(f"image {number}", saliency, mask)
    return scorer.scores()


@pytest.mark.parametrize("case", KNOWN)
def test_known_answers(case):
    saliency, mask, expected = KNOWN[case]
    figures = scored((saliency, mask)).figures.to_json()
    assert [round(figures[name], 6) for name in NAMES] == list(expected)


def test_raw_error_is_not_stretched():
    saliency, mask, _ = KNOWN["a shifted box"]
    expected = np.abs(saliency / 255 - mask / 255).mean()
    figures = scored((saliency, mask)).figures
    assert figures.raw_mae == pytest.approx(expected)
    assert figures.raw_mae > 4 * figures.mae


def test_two_conventions_of_the_greatest_f_agree_on_one_image_alone():
    saliency, mask, _ = KNOWN["a cone on a disk"]
    figures = scored((saliency, mask)).figures
    assert figures.max_f == pytest.approx(figures.max_f_per_image)


def test_tables_take_the_greatest_f_of_averaged_curves():
    pairs = [KNOWN[case][:2] for case in KNOWN]
    precision, recall, per_image = [], [], []
    for saliency, mask in pairs:
        stretched = (saliency / 255 - saliency.min() / 255) / (np.ptp(saliency) / 255)
        levels, truth = (stretched * 255).astype(np.uint8), mask > 128
        hits = np.array([(levels >= t)[truth].sum() for t in range(256)])
        found = np.array([(levels >= t).sum() for t in range(256)])
        precision.append(hits / np.maximum(found, 1))
        recall.append(hits / truth.sum())
        per_image.append(f_measure(precision[-1], recall[-1]))
    scores = scored(*pairs)
    assert scores.figures.max_f == pytest.approx(f_measure(np.mean(precision, 0), np.mean(recall, 0)).max())
    assert scores.figures.max_f_per_image == pytest.approx(np.mean(per_image, 0).max())
    assert scores.curves.precision == pytest.approx(np.mean(precision, 0))
    assert scores.curves.recall == pytest.approx(np.mean(recall, 0))


def test_curves_run_from_threshold_0_up():
    curves = scored(KNOWN["a ramp on a box"][:2]).curves
    assert len(curves.f_measure) == 256
    assert curves.recall[0] == 1
    assert list(curves.recall) == sorted(curves.recall, reverse=True)


def test_images_keep_their_scores():
    pairs = [KNOWN[case][:2] for case in KNOWN]
    images = scored(*pairs).images
    assert [image.name for image in images] == ["image 0", "image 1", "image 2"]
    assert [round(image.s_measure, 6) for image in images] == [0.475979, 0.811855, 0.863576]


def test_constant_map_and_empty_mask_have_figures():
    grey, empty = np.full((8, 8), 100, np.uint8), np.zeros((8, 8), np.uint8)
    figures = scored((grey, empty)).figures
    assert figures.max_f == 0
    assert figures.mae == pytest.approx(100 / 255)


def test_shapes_that_differ_are_refused():
    with pytest.raises(
        ValueError, match=r"x: map and mask must be uint8 of one shape, got \(4, 4\) uint8 and \(4, 5\)"
    ):
        Scorer().add("x", np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))


def test_scores_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no image was scored"):
        Scorer().scores()
