"""An encoder that is quick and a picture with regions."""

import numpy as np
import pytest
import torch

from densevl.core.regions import Regions
from densevl.datasets.scenes import Scene, render
from densevl.encoders.loading import build_clip


@pytest.fixture(scope="session")
def mini():
    return build_clip("mini-clip", text_cache=False)


@pytest.fixture(scope="session")
def scene() -> Scene:
    return render(3, 1, (72, 96), count=(4, 4))


@pytest.fixture(scope="session")
def regions(scene: Scene) -> Regions:
    return Regions.from_masks(torch.from_numpy(np.stack([item.mask for item in scene.objects])))
