import numpy as np
import pytest
from PIL import Image

from modicum.saliency.data.masks import UNSURE, decode_mask
from modicum.saliency.data.sources import decode_mask as decode_of_sources

SALIENT = np.zeros((8, 10), bool)
SALIENT[2:6, 3:8] = True
WHITE = np.where(SALIENT, 255, 0).astype(np.uint8)


def palette(indices, *colours):
    picture = Image.fromarray(indices.astype(np.uint8), "P")
    picture.putpalette([value for colour in colours for value in colour] + [0] * (768 - 3 * len(colours)))
    return picture


def rgba(colour, alpha):
    return Image.fromarray(np.dstack([np.broadcast_to(np.array(colour, np.uint8), (8, 10, 3)), alpha]))


FORMS = {
    "white on black": Image.fromarray(WHITE),
    "one bit": Image.fromarray(WHITE).convert("1"),
    "zeros and ones": Image.fromarray(SALIENT.astype(np.uint8)),
    "16-bit labels": Image.fromarray(SALIENT.astype(np.uint16)),
    "16-bit white": Image.fromarray(SALIENT.astype(np.uint16) * 65535),
    "8 bit in 16": Image.fromarray(WHITE.astype(np.uint16)),
    "dark red index": palette(SALIENT, (0, 0, 0), (128, 0, 0)),
    "black is the second index": palette(~SALIENT, (200, 30, 30), (0, 0, 0)),
    "no black in the palette": palette(SALIENT, (0, 0, 90), (0, 90, 0)),
    "grey palette": palette(SALIENT, (0, 0, 0), (255, 255, 255)),
    "grey palette, reversed": palette(~SALIENT, (255, 255, 255), (0, 0, 0)),
    "two objects": palette(SALIENT * (1 + np.arange(10) % 2), (0, 0, 0), (128, 0, 0), (0, 0, 64)),
    "dark blue": Image.fromarray(SALIENT[..., None] * np.array([0, 0, 90], np.uint8)),
    "alpha of a white object": rgba((255, 255, 255), WHITE),
    "alpha of a black object": rgba((0, 0, 0), WHITE),
    "opaque alpha": Image.fromarray(np.dstack([WHITE, WHITE, WHITE, np.full_like(WHITE, 255)])),
    "grey with alpha": Image.fromarray(np.dstack([np.full_like(WHITE, 90), WHITE])),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_mask_means_the_same_pixels(encoded, form):
    np.testing.assert_array_equal(decode_mask(encoded(FORMS[form])), WHITE)


def test_transparent_palette_is_a_mask(encoded):
    content = encoded(palette(SALIENT, (90, 90, 90), (90, 90, 90)), transparency=0)
    np.testing.assert_array_equal(decode_mask(content), WHITE)


def test_undecided_border_of_voc_is_unsure(encoded):
    indices = SALIENT.astype(np.uint8)
    indices[2, 3:8] = 255
    content = encoded(palette(indices, *[(0, 0, 0), (128, 0, 0)], *[(1, 1, 1)] * 253, (224, 224, 192)))
    mask = decode_mask(content)
    assert set(mask[2, 3:8]) == {UNSURE}
    np.testing.assert_array_equal(mask[3:], WHITE[3:])


def test_soft_values_are_kept(encoded):
    soft = np.linspace(0, 255, 80).astype(np.uint8).reshape(8, 10)
    np.testing.assert_array_equal(decode_mask(encoded(Image.fromarray(soft))), soft)


@pytest.mark.parametrize("colour", [(128, 0, 0), (255, 0, 0), (0, 0, 200)])
def test_coloured_mask_survives_compression(encoded, colour):
    large = np.kron(SALIENT, np.ones((8, 8), bool))
    mask = decode_mask(
        encoded(Image.fromarray(large[..., None] * np.array(colour, np.uint8)), "JPEG", quality=90, subsampling=0)
    )
    assert np.mean((mask >= 100) == large) > 0.99


def test_masks_are_turned_like_their_images(encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(decode_mask(encoded(Image.fromarray(WHITE), exif=exif)), np.rot90(WHITE, -1))


def test_sources_read_masks_so():
    assert decode_of_sources is decode_mask
