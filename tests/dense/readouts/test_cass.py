"""CASS by its formulas, head by head."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from toys.guides import ColourGuide

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.places import neighbour_bias
from densevl.dense.readouts.cass import CASSReadout
from densevl.encoders.contracts import Needs
from densevl.encoders.loading import build_clip


@pytest.fixture(scope="module")
def encoder():
    return build_clip("mini-clip")


def images(count=2):
    return torch.rand(count, 3, 40, 56, generator=torch.Generator().manual_seed(0))


def spectrum(keys, width):
    values = torch.linalg.eigvalsh(keys @ keys.T).flip(0)[: keys.shape[1]].clamp(min=0)
    return F.pad(values / values.sum(), (0, width - len(values)))


def attended(keys, values, described, rank):
    """What the heads of an image gather; features of the guide come head by head, on the grid of the patches."""
    low, high = described.min(), described.max()
    described = (described - low) / (high - low) * (keys.max() - keys.min()) + keys.min()
    width = max(keys.shape[2], described.shape[2])
    spectra = [[spectrum(one, width) for one in maps] for maps in (keys, described)]
    apart = torch.tensor([[float((a - b).norm() / 2**0.5) for b in spectra[1]] for a in spectra[0]])
    best = min(
        ((sum(1 - float(apart[i, j]) for i, j in enumerate(order)), order) for order in permutations(range(len(keys)))),
        key=lambda found: found[0],
    )[1]
    bias, mixed = neighbour_bias((5, 7), 5.0, torch.device("cpu")), []
    for i, j in enumerate(best):
        left, sizes, right = torch.linalg.svd(described[j], full_matrices=False)
        kept = (left[:, :rank] * sizes[:rank]) @ right[:rank]
        kernel = kept @ kept.T / described.shape[2] ** 0.5
        kernel.fill_diagonal_(0)
        weight = 10 * apart[i, j]
        scores = (weight * kernel + keys[i] @ keys[i].T / keys.shape[2] ** 0.5) / (weight + 1) + bias
        mixed.append(scores.softmax(1) @ values[i])
    return torch.stack(mixed)


def test_by_its_formulas(encoder):
    guide = ColourGuide((3, 4))
    readout = CASSReadout(guide, heads=2, rank=2)
    last = encoder.last_block(images(), Needs(guide=guide))
    keys, values = (one[:, :, 1:] for one in last.block.qkv(last.block.norm_1(last.tokens), "kv"))
    described = F.interpolate(guide(images()).grid, (5, 7), mode="bilinear", align_corners=False)
    described = described.unflatten(1, (2, 4)).flatten(3).mT.repeat(1, 2, 1, 1)  # two heads of the guide for four
    heads = [attended(*each, rank=2) for each in zip(keys, values, described, strict=True)]
    expected = last.block.out(torch.stack(heads)).mT.unflatten(2, (5, 7))
    found = readout(last)
    torch.testing.assert_close(found.grid, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.whole, encoder.forward_images(images())[1], rtol=1e-3, atol=1e-4)


def test_a_batch_is_its_images(encoder):
    dense = DenseEncoder(encoder, CASSReadout(ColourGuide((3, 4)), heads=2, rank=3))
    both, one = dense(images()), dense(images()[1:])
    torch.testing.assert_close(both.grid[1:], one.grid, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(both.whole[1:], one.whole, rtol=1e-3, atol=1e-4)


def test_one_colour_has_a_result(encoder):
    assert (
        DenseEncoder(encoder, CASSReadout(ColourGuide(), heads=2))(torch.full((1, 3, 40, 40), 0.3))
        .grid.isfinite()
        .all()
    )


def test_bad_input(encoder):
    with pytest.raises(UsageError, match="attends by the keys of a guide; give it one of"):
        CASSReadout()
    with pytest.raises(UsageError, match="one head or more"):
        CASSReadout(ColourGuide(), heads=0)
    with pytest.raises(UsageError, match="features of 8 numbers do not fall into 3 heads; set `heads`"):
        DenseEncoder(encoder, CASSReadout(ColourGuide(), heads=3))(images())
    with pytest.raises(UsageError, match="whose features it was not given"):
        CASSReadout(ColourGuide())(encoder.last_block(images()))
