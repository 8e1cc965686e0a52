import numpy as np
import pytest
import torch

from modicum.saliency.data.sources import MaskedImage
from modicum.saliency.data.transforms import PairTransform, Preprocessing, to_input


def painted():
    """A picture whose red channel is its mask, so that both must be moved alike."""
    mask = np.random.default_rng(0).integers(0, 2, (30, 40)).astype(np.uint8) * 255
    mask = np.kron(mask[:6, :8], np.ones((5, 5), np.uint8))
    return MaskedImage(np.dstack([mask, mask // 2, mask // 3]), mask)


@pytest.mark.parametrize("seed", range(8))
def test_image_and_mask_are_moved_alike(seed):
    torch.manual_seed(seed)
    image, mask = PairTransform(Preprocessing(32, min_scale=0.3, jitter=0), is_random=True)(painted())
    torch.testing.assert_close(image[:1], mask, rtol=0, atol=0)


def test_colours_of_the_mask_do_not_change():
    torch.manual_seed(0)
    transform = PairTransform(Preprocessing(30, flip=False, min_scale=1, jitter=0.9), is_random=True)
    image, mask = transform(painted())
    still, same = PairTransform(Preprocessing(30), is_random=False)(painted())
    torch.testing.assert_close(mask, same, rtol=0, atol=0)
    assert (image != still).any()


def test_evaluation_stretches_whole_pictures():
    image, mask = PairTransform(Preprocessing(16), is_random=False)(painted())
    assert (image.shape, mask.shape) == ((3, 16, 16), (1, 16, 16))
    torch.testing.assert_close(image, to_input(painted().pixels, 16), rtol=0, atol=0)


def test_soft_edges_survive_resizing():
    _, mask = PairTransform(Preprocessing(23), is_random=False)(painted())
    assert ((mask > 0) & (mask < 255)).any()


def test_normalisation_by_hand():
    preprocessing = Preprocessing(2, mean=(0.5, 0.4, 0.2), std=(0.5, 0.2, 0.1))
    batch = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert preprocessing.normalise(batch)[0, :, 0, 0].tolist() == pytest.approx([1, 3, 8])
