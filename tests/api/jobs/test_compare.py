"""The picture that shows what the heads do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import densevl
from densevl.api.jobs.compare import compare, principal_colours
from densevl.cli import main
from densevl.core.errors import UsageError
from densevl.datasets.scenes import render

WORDS = "grass, sand, water, brick, wood, stone, red circle"


@pytest.fixture(scope="module")
def model():
    heads = {"type": "dinoiser", "weights": "random:0", "gamma": 0.9}
    return densevl.load("mini", weights="random:0", refiners=[heads])


def test_the_panels(model):
    image = render(0, 0, (96, 128)).image
    picture = compare(model, image, WORDS, (20, 30))
    panel, gap = (315, 420), 10
    assert picture.shape[1] >= 4 * panel[1] + 3 * gap
    assert picture.shape[0] > 2 * panel[0]
    first = picture[:, : panel[1]].reshape(-1, 3)
    assert (first == (255, 64, 64)).all(1).any(), "the point is marked"
    other = compare(model, image, WORDS, (100, 70))
    assert not np.array_equal(picture, other)
    centre = compare(model, image, WORDS)
    assert np.array_equal(centre, compare(model, image, WORDS, (64, 48)))


def test_heads_on_sub_patches_tell_more_places_apart():
    """The likeness panel of the mini model has cells of its sub-patches, 2 of 64 pixels, not of patches."""
    image = render(0, 0, (64, 64)).image
    picture = compare(densevl.load("mini", offline=True, short_side=64), image, WORDS, (20, 30))
    panel = picture[: picture.shape[0] // 2, 430:850][-400:, 10:410].astype(int)
    changes = np.abs(np.diff(panel, axis=1)).sum((0, 2)).nonzero()[0]
    assert len(changes) > 16


def test_background_by_head(model):
    image = render(0, 0, (96, 128)).image
    assert not np.array_equal(compare(model, image, WORDS), compare(model, image, WORDS, background="head:1"))


def test_what_cannot_be_compared(model):
    image = render(0, 0, (64, 64)).image
    with pytest.raises(UsageError, match="no heads to look at"):
        compare(densevl.load("mini", weights="random:0", refiners=[]), image, WORDS)
    with pytest.raises(UsageError, match="lies outside of the image, which has 64×64 pixels"):
        compare(model, image, WORDS, (64, 0))


def test_colours_are_directions_and_the_same_in_every_grid():
    base = F.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    grid = base[torch.tensor([[0, 1, 2], [3, 0, 1]])].permute(2, 0, 1)
    first, second = principal_colours(grid, 5 * grid.flip(2))
    assert first.shape == (2, 3, 3)
    assert np.array_equal(first, second[:, ::-1]), "length does not count, and equal features have equal colours"
    assert np.array_equal(first[0, 0], first[1, 1])
    assert len({tuple(colour) for colour in first.reshape(-1, 3).tolist()}) == 4


@pytest.mark.parametrize("arguments", [["--model", "mini-maskclip"], ["--model", "mini", "--point", "5000,0"]])
def test_the_command_says_what_is_wrong(root, tmp_path, capsys, arguments):
    image = root / "demo" / "images" / "garden.png"
    command = ["compare", str(image), WORDS, "--out", str(tmp_path), "--offline", *arguments]
    assert main(command) == 2
    assert "densevl: error:" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--point", "12"])
