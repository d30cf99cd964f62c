import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from densevl.datasets.scenes import render
from densevl.regions.visual_prompts import gaussian_blur


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.from_numpy(render(0, 0, (72, 96)).image).permute(2, 0, 1)[None].double()


@pytest.mark.parametrize("std", [3.0, 8.0, 25.0, 60.0])
def test_within_a_grey_level_of_the_exact_gaussian(picture, std):
    """The oracle is a direct convolution; at 25 of 96 pixels, the default strength, the difference is far smaller."""
    exact = gaussian_filter(picture.numpy(), (0, 0, std, std), mode="nearest", truncate=6)
    assert np.abs(gaussian_blur(picture, std).numpy() - exact).max() < 1.0
    assert np.abs(gaussian_blur(picture, std).numpy() - exact).mean() < 0.2


def test_a_flat_picture_stays_flat_and_nothing_is_lost():
    flat = torch.full((1, 3, 40, 50), 0.3)
    assert torch.allclose(gaussian_blur(flat, 10), flat, atol=1e-5)


def test_no_blur_is_none_and_a_batch_is_its_members():
    images = torch.rand(3, 3, 20, 31)
    assert torch.equal(gaussian_blur(images, 0), images)
    whole = gaussian_blur(images, 4)
    assert torch.allclose(whole, torch.cat([gaussian_blur(image[None], 4) for image in images]), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 3)])
def test_pictures_of_a_pixel_or_a_line(shape):
    images = torch.rand(1, 3, *shape)
    blurred = gaussian_blur(images, 100)
    assert blurred.shape == images.shape
    assert images.min() - 1e-5 <= blurred.min() <= blurred.max() <= images.max() + 1e-5
