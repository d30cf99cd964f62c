"""Textured grounds."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes.grounds import GROUNDS, ground_patch, ground_tile


@pytest.mark.parametrize("ground", GROUNDS)
def test_tile_is_fixed_textured_and_sized(ground):
    tile = ground_tile(ground, 64)
    assert tile.shape == (128, 128, 3)
    assert tile.dtype == np.float32
    assert tile.min() >= 0
    assert tile.max() <= 255
    assert tile.std((0, 1)).max() > 6, "a flat tile is no texture"
    assert not tile.flags.writeable, "a cached tile must not be changed by its user"


def test_patch_larger_than_the_tile_is_mirrored():
    patch = ground_patch("brick", (40, 90), 16, np.random.default_rng(0))
    assert patch.shape == (40, 90, 3)
    tile = ground_tile("brick", 16)
    assert np.array_equal(patch[:32, :32], tile)
    assert np.array_equal(patch[:32, 32:64], tile[:, ::-1])


def test_grounds_have_different_colours():
    means = np.array([ground_tile(ground, 64).mean((0, 1)) for ground in GROUNDS])
    distance = np.linalg.norm(means[:, None] - means[None], axis=-1) + 1e3 * np.eye(len(means))
    assert distance.min() > 15


def test_unknown_ground():
    with pytest.raises(UsageError, match="lava"):
        ground_tile("lava", 64)
