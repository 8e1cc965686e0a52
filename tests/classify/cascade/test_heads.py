import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from modicum.classify.cascade import heads
from modicum.classify.cascade.heads import Standardised, fit_head, make_folds, out_of_fold
from modicum.storage.errors import DataError

PENALTY = 1e-3


def draw(count=60, classes=3):
    """Two blocks of features around a mean for each class, on very different scales."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    means = torch.randn(classes, 9, generator=generator)
    rows = means[labels] + torch.randn(count, 9, generator=generator)
    return (rows[:, :4] * 100 + 7, rows[:, 4:]), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_head_on_raw_features_is_the_penalised_fit_on_standardised_ones(classes):
    blocks, labels = draw(classes=classes)
    head = fit_head(Standardised.of(blocks), labels, classes, PENALTY)
    scaled = torch.cat([(b - b.mean(0)) / b.std(0, correction=0) / b.shape[1] ** 0.5 for b in blocks], dim=1)
    solver = LogisticRegression(C=1 / (PENALTY * len(labels)), tol=1e-8).fit(scaled.numpy(), labels.numpy())
    expected = torch.from_numpy(solver.predict_proba(scaled.numpy())).float()
    with torch.no_grad():
        assert_close(head(torch.cat(blocks, dim=1)).softmax(dim=1), expected, atol=5e-3, rtol=0)


def test_every_image_is_judged_by_a_head_that_never_saw_it():
    blocks, labels = draw()
    features, folds = Standardised.of(blocks), make_folds(labels, "abc", 5, 0)
    logits = out_of_fold(features, labels, 3, PENALTY, folds)
    changed = labels.clone()
    changed[folds[0]] = (changed[folds[0]] + 1) % 3
    again = out_of_fold(features, changed, 3, PENALTY, folds)
    assert_close(again[folds[0]], logits[folds[0]])  # what an image is called cannot change what is said of it
    assert not torch.allclose(again[folds[1]], logits[folds[1]])


def test_feature_that_never_varies_is_no_reason_to_fail():
    blocks, labels = draw()
    head = fit_head(Standardised.of([*blocks, torch.ones(60, 1)]), labels, 3, PENALTY)
    assert head.weight.isfinite().all()


def test_classes_with_fewer_images_than_folds_get_fewer_folds():
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    folds = make_folds(labels, ["few", "more"], 5, 0)
    assert len(folds) == 3
    assert torch.cat(folds).sort().values.tolist() == list(range(8))


def test_class_with_a_single_image_is_refused_by_name():
    with pytest.raises(DataError, match=r"class 'alone' has 1 training images.*at least 2"):
        make_folds(torch.tensor([0, 0, 1]), ["pair", "alone"], 5, 0)


def test_images_are_described_alike_whichever_side_is_the_smaller():
    generator = torch.Generator().manual_seed(0)
    for shape in ((30, 50), (50, 30)):
        rows = torch.randn(shape, generator=generator)
        found = Standardised.of([rows])
        scaled = (rows - found.mean) * found.scale
        assert_close(torch.from_numpy(found.rows @ found.rows.T).float(), scaled @ scaled.T, atol=1e-5, rtol=1e-4)
        assert_close(found.basis.T @ found.basis, torch.eye(found.basis.shape[1]), atol=1e-4, rtol=0)


def test_leading_directions_of_many_images_give_nearly_the_same_head(monkeypatch):
    blocks, labels = draw(count=400)
    wide = [torch.cat([block, block @ torch.randn(block.shape[1], 40)], dim=1) for block in blocks]
    whole = fit_head(Standardised.of(wide), labels, 3, PENALTY)
    monkeypatch.setattr(heads, "MOST_EXACT", 20)
    monkeypatch.setattr(heads, "MOST_DIRECTIONS", 12)  # of 9 that there are
    leading = fit_head(Standardised.of(wide), labels, 3, PENALTY)
    rows = torch.cat(wide, dim=1)
    with torch.no_grad():
        assert_close(leading(rows).softmax(dim=1), whole(rows).softmax(dim=1), atol=1e-2, rtol=0)
