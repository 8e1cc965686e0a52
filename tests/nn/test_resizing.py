import numpy as np
import pytest
import torch
from PIL import Image

from modicum.nn.resizing import Resize


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kernel", ["antialiased", "bilinear", "bicubic"])
def test_images_of_that_size_are_returned_as_they_are(kernel):
    images = noise(2, 3, 8, 8)
    assert Resize(8, kernel)(images) is images


@pytest.mark.parametrize(
    ("kernel", "filter_"), [("antialiased", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("shape", [(31, 31), (24, 40), (13, 31), (7, 5)])
def test_widened_kernels_equal_pillow(shape, kernel, filter_):
    pixels = np.random.default_rng(0).integers(60, 196, (*shape, 3), dtype=np.uint8)  # cubic weights reach beyond
    expected = np.asarray(Image.fromarray(pixels).resize((13, 13), filter_), np.float32)
    resized = Resize(13, kernel)(torch.tensor(pixels).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0)
    assert resized.numpy() == pytest.approx(expected, abs=1.01)  # Pillow rounds after each of two passes


def test_bilinear_does_not_widen_when_shrinking():
    images = noise(1, 2, 6, 6)
    assert torch.equal(Resize(2, "bilinear")(images), images[:, :, 1::3, 1::3])  # centres of 3 x 3 pixels each


def test_antialiased_widens_when_shrinking():
    images = noise(1, 2, 6, 6)
    assert not torch.allclose(Resize(2)(images), images[:, :, 1::3, 1::3], atol=0.05)


def test_kernels_agree_when_growing():
    images = noise(1, 2, 5, 5)
    torch.testing.assert_close(Resize(9)(images), Resize(9, "bilinear")(images))


@pytest.mark.parametrize("kernel", ["antialiased", "bilinear", "bicubic"])
def test_each_image_is_resized_by_itself(kernel):
    images = noise(3, 2, 9, 9)
    singles = torch.cat([Resize(4, kernel)(image[None]) for image in images])
    torch.testing.assert_close(Resize(4, kernel)(images), singles)


@pytest.mark.parametrize("kernel", ["antialiased", "bilinear", "bicubic"])
def test_empty_batch_is_legal(kernel):
    assert Resize(4, kernel)(torch.empty(0, 3, 8, 8)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("kernel", ["antialiased", "bilinear", "bicubic"])
def test_images_need_not_be_contiguous(kernel):
    images = noise(2, 8, 8, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(Resize(5, kernel)(images), Resize(5, kernel)(images.contiguous()))


def test_gradient_flows():
    images = noise(1, 3, 8, 8).requires_grad_()
    Resize(4)(images).sum().backward()
    assert float(images.grad.sum()) == pytest.approx(3 * 4 * 4)  # weights of each output pixel add up to 1
    assert (images.grad > 0).all()


def test_flat_images_stay_flat():
    torch.testing.assert_close(Resize(5)(torch.full((1, 1, 16, 16), 0.3)), torch.full((1, 1, 5, 5), 0.3))


def test_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel must be one of 'antialiased', 'bilinear', 'bicubic', got 'nearest'"):
        Resize(8, "nearest")


def test_printed_form_names_size_and_kernel():
    assert str(Resize(8, "bilinear")) == "Resize(8, kernel='bilinear')"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel", ["antialiased", "bilinear", "bicubic"])
def test_half_precision_is_resized_on_a_cpu(dtype, kernel):
    images = noise(2, 3, 16, 16)
    resized = Resize(6, kernel)(images.to(dtype))
    assert resized.dtype == dtype
    torch.testing.assert_close(resized.float(), Resize(6, kernel)(images), atol=0.01, rtol=0)
