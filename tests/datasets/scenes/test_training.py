"""Scenes as pictures alone."""

import numpy as np
import torch

from densevl.core.images import resize_image
from densevl.datasets.scenes import render
from densevl.datasets.scenes.training import ScenePictures


def test_draws_the_scene_of_its_number() -> None:
    pictures = ScenePictures(length=5, size=48, drawn=32, count=(2, 4), seed=7)
    expected = resize_image(render(7, 3, 32, "train", (2, 4)).image, (48, 48))
    assert set(pictures[3]) == {"images"}
    assert np.array_equal(pictures[3]["images"].permute(1, 2, 0).numpy(), expected)
    assert torch.equal(pictures[3]["images"], pictures[3]["images"])
    assert len(pictures) == 5


def test_other_numbers_and_seeds_are_other_pictures() -> None:
    one, other = ScenePictures(3, 32), ScenePictures(3, 32, seed=1)
    assert not torch.equal(one[0]["images"], one[1]["images"])
    assert not torch.equal(one[0]["images"], other[0]["images"])
