import numpy as np
import pytest
import torch

from densevl.core.regions import Regions
from densevl.regions.visual_prompts import Style, draw

NAMES = ["keypoint", "box", "circle", "contour", "mask", "blur_mask", "grayscale_mask", "blur_box_mask"]
STYLE = Style(blur=50, compatible=True)


@pytest.fixture(scope="module")
def reference(golden):
    return np.load(golden / "visual_prompts.npz")


@pytest.fixture(scope="module")
def regions(reference):
    return Regions(torch.from_numpy(reference["boxes"]), (192, 192), torch.from_numpy(reference["masks"]))


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_those_of_the_published_code(reference, regions, name):
    assert np.array_equal(draw(reference["image"], regions, name, style=STYLE), reference[name])


def test_crops_are_those_of_the_published_code_but_for_rounding(reference, regions):
    found = draw(reference["image"], regions, "crop", size=192, style=STYLE).astype(np.float32)
    # The reference keeps the values between the bytes; the file has them in half precision (1/8 at 128 to 255).
    assert np.abs(found - reference["crop"].astype(np.float32)).max() <= 0.5 + 1 / 16


def test_our_grey_differs_from_the_swapped_one_and_is_right(reference, regions):
    ours = draw(reference["image"], regions, "grayscale_mask", style=Style(blur=50))
    outside = ~reference["masks"]
    right = reference["image"].astype(float) @ [0.299, 0.587, 0.114]
    for picture, rest in zip(ours, outside, strict=True):
        assert np.abs(picture[rest] - right[rest][:, None]).max() <= 0.5 + 1e-3
    assert not np.array_equal(ours, reference["grayscale_mask"])
