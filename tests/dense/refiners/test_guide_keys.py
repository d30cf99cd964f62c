import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toys.clip import tiny_clip

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.encoder import DenseEncoder
from densevl.dense.refiners.guide_keys import GuideKeys, read_cells


class Colours(nn.Module):
    """A guide whose features are the mean colours of patches that cover the image evenly."""

    name = "colours"

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, images):
        height, width = images.shape[2:]
        grid = (max(1, height // self.patch), max(1, width // self.patch))
        return DenseFeatures(F.adaptive_avg_pool2d(images, grid), self.patch, "colours", extent=(0, 0, width, height))


@pytest.fixture(scope="module")
def encoder():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return made


def sloping(height, width):
    """Two images whose colours are the places of their pixels: rows, columns, 0."""
    ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([ys / height, xs / width, 0 * ys])[None].repeat(2, 1, 1, 1)


@pytest.mark.parametrize("border", ["black", "drop", "centre56"])
@pytest.mark.parametrize("side", [4, 5, 16])
def test_keys_are_those_of_the_same_places(encoder, side, border):
    patch = encoder.patch_size
    images = sloping(4 * patch - 3, 5 * patch + 2)
    dense = DenseEncoder(encoder, "maskclip", [GuideKeys(Colours(side))], border=border)
    features = dense(images, keys=True)
    plain = DenseEncoder(encoder, "maskclip", border=border)(images)
    assert torch.equal(features.grid, plain.grid)
    assert features.keys.shape == (2, 3, *plain.grid.shape[2:])
    assert features.extent == plain.extent
    if border == "black":
        height = images.shape[2]
        rows = (torch.arange(plain.grid.shape[2]) + 0.5) * patch / height
        inside = (rows * height > side) & (rows * height < height - side)
        found = features.keys[0, 0, :, 2]
        torch.testing.assert_close(found[inside], rows[inside], rtol=0, atol=0.6 * side / height)


def test_grids_of_the_same_cells_are_taken_as_they_are():
    maps = torch.rand(1, 2, 3, 4)
    assert read_cells(maps, (0, 0, 40, 30), (3, 4), (0, 0, 40, 30)) is maps


def test_cells_are_read_at_their_centres():
    maps = torch.arange(8.0)[None, None, None].repeat(1, 1, 4, 1)
    found = read_cells(maps, (0, 0, 16, 8), (2, 4), (0, 0, 16, 8))
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
    shifted = read_cells(maps, (0, 0, 16, 8), (2, 2), (4, 0, 8, 8))
    torch.testing.assert_close(shifted[0, 0, 0], torch.tensor([2.0, 3.0]))
    beyond = read_cells(maps, (0, 0, 16, 8), (1, 2), (8, 0, 40, 8))
    torch.testing.assert_close(beyond[0, 0, 0], torch.tensor([7.0, 7.0]))


def test_its_name_is_that_of_the_guide():
    assert GuideKeys(Colours(4)).name == "guide-keys(guide=colours)"


def test_what_is_missing_is_said():
    with pytest.raises(UsageError, match="keys by a guide are made of the images"):
        GuideKeys(Colours(4))(DenseFeatures(torch.zeros(1, 2, 1, 1), 8, "toy"))
    with pytest.raises(UsageError, match="guide 'none' is unknown"):
        GuideKeys("none")
    with pytest.raises(UsageError, match=r"guide: expected a name, a config with a type, or a built one; got 3"):
        GuideKeys(3)
