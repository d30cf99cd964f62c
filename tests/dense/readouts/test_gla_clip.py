"""GLA-CLIP by its formulas, patch by patch."""

import math

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from toys.guides import ColourGuide

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.readouts import gla_clip
from densevl.dense.readouts.gla_clip import GLAReadout, proxy_queries
from densevl.encoders.contracts import LastBlock
from densevl.encoders.towers.open_clip import OpenClipBlock

GRID, WINDOWS = (2, 3), 3


@pytest.fixture(scope="module")
def block():
    torch.manual_seed(0)
    return ResidualAttentionBlock(24, 3).double().eval().requires_grad_(False)


def last(block, described):
    tokens = torch.randn(WINDOWS, 1 + 6, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return LastBlock(tokens, OpenClipBlock(block), GRID, 1, guide=DenseFeatures(described, 8, "guide"))


def described():
    draw = torch.Generator().manual_seed(2)
    common = torch.randn(1, 5, 1, 1, generator=draw, dtype=torch.float64)
    return common + 0.8 * torch.randn(WINDOWS, 5, *GRID, generator=draw, dtype=torch.float64)


def attention(units, radius, shifts):
    """The matrix over all patches of all windows, by loops."""
    count = len(units)
    queries = []
    for i in range(count):
        query = units[i]
        for _ in range(shifts):
            near = [units[j] for j in range(count) if float(query @ units[j]) > radius]
            query = F.normalize(sum(near), dim=0) if near else query
        queries.append(query)
    cosines = [[float(query @ unit) for unit in units] for query in queries]
    mean = sum(map(sum, cosines)) / count**2
    beta = 1 + 0.3 * math.log(1 + WINDOWS)
    rows = []
    for i, row in enumerate(cosines):
        gamma = 1 + 30 / max(1, sum(cosine > radius for cosine in row))
        above = [(cosine - beta * mean) * gamma for cosine in row]
        if max(above) < 0:
            above = [0.0 if j == i else -1.0 for j in range(count)]
        powers = [math.exp(value) if value >= 0 else 0.0 for value in above]
        rows.append([power / sum(powers) for power in powers])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("at_once", [1, 2**24])
@pytest.mark.parametrize("shifts", [0, 2])
def test_patches_attend_to_those_of_all_windows(monkeypatch, block, shifts, at_once):
    monkeypatch.setattr(gla_clip, "COSINES_AT_ONCE", at_once)
    maps = described()
    given = last(block, maps)
    units = F.normalize(maps.flatten(2).mT, dim=2).flatten(0, 1)
    normed = block.ln_1(given.tokens)
    values = normed @ block.attn.in_proj_weight[48:].T + block.attn.in_proj_bias[48:]
    mixed = attention(units, 0.6, shifts) @ values[:, 1:].flatten(0, 1)
    expected = block.attn.out_proj(mixed).unflatten(0, (WINDOWS, 6)).mT.unflatten(2, GRID)
    readout = GLAReadout(ColourGuide(), shifts=shifts)
    torch.testing.assert_close(readout(given), expected)


def test_it_needs_all_windows_and_a_guide():
    assert GLAReadout(ColourGuide()).needs.windows
    with pytest.raises(UsageError, match="compares patches by a guide; give it one of"):
        GLAReadout()
    with pytest.raises(UsageError, match="a radius between 0 and 1"):
        GLAReadout(ColourGuide(), radius=1.0)


def test_an_image_of_one_colour_keeps_each_patch(block):
    given = last(block, torch.ones(WINDOWS, 5, *GRID, dtype=torch.float64))
    found = GLAReadout(ColourGuide())(given)
    (values,) = given.block.qkv(given.block.norm_1(given.tokens), "v")
    torch.testing.assert_close(found, given.behind(values, False, False))


def test_a_query_that_finds_nothing_stays():
    units = torch.eye(3)
    torch.testing.assert_close(proxy_queries(-units, units, 0.6, 2), -units)
