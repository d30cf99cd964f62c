"""A grounder over the mini CLIP, and a scene."""

import pytest

from densevl import load
from densevl.datasets.scenes import render


@pytest.fixture(scope="session")
def scene():
    """A picture of several objects of different names."""
    return next(s for s in (render(11, i, count=(4, 4)) for i in range(50)) if len({o.name for o in s.objects}) == 4)


@pytest.fixture(scope="session")
def boxes(scene):
    return [list(item.box) for item in scene.objects]


@pytest.fixture(scope="session")
def grounder():
    """The mini model's grounder, with GrabCut's masks and as its probabilities come, whatever its own settings are."""
    return load("mini", device="cpu", mask_maker="grabcut", calibration=1.0).grounder
