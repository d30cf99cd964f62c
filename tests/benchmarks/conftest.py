"""Small benchmark folders in the layouts of the real ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[..., Path]


@pytest.fixture
def ade(tmp_path: Path) -> Tree:
    """A folder like ``data/ade`` of a few pictures with labels 0 (other) to 150."""

    def make(sizes: tuple[tuple[int, int], ...] = ((40, 60), (50, 30), (33, 44))) -> Path:
        generator = np.random.default_rng(0)
        images = tmp_path / "ade" / "ADEChallengeData2016" / "images" / "validation"
        labels = tmp_path / "ade" / "ADEChallengeData2016" / "annotations" / "validation"
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index, size in enumerate(sizes):
            picture = generator.integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(picture).save(images / f"ADE_val_{index:08d}.jpg")
            Image.fromarray(generator.integers(0, 151, size).astype(np.uint8)).save(labels / f"ADE_val_{index:08d}.png")
        return tmp_path / "ade"

    return make
