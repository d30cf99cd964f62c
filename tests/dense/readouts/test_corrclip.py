"""CorrCLIP's merging and weights against plain loops, and what it does at its limits."""

import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip
from toys.guides import ColourGuide

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.corrclip import CorrCLIPReadout, merge_regions, region_weights


def units(count, width=6, batch=None):
    shape = (count, width) if batch is None else (batch, count, width)
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(0)), dim=-1)


@pytest.mark.parametrize("eps", [0.0, 0.3, 0.6, 3.0])
def test_regions_are_merged_as_dbscan_does(eps):
    from sklearn.cluster import DBSCAN

    vectors, numbers = units(60), torch.randint(-1, 9, (60,), generator=torch.Generator().manual_seed(1))
    kinds = [number for number in numbers.unique() if number >= 0]
    means = F.normalize(torch.stack([vectors[numbers == number].mean(0) for number in kinds]), dim=1)
    alike = means @ means.T
    distances = (alike.max() - alike).clamp(min=0).fill_diagonal_(0).double().numpy()
    expected = DBSCAN(eps=eps + 1e-9, min_samples=1, metric="precomputed").fit_predict(distances)
    found = merge_regions(vectors, numbers, eps)
    assert [found[numbers == number].unique().item() for number in kinds] == expected.tolist()
    assert (found[numbers < 0] == -1).all()


def test_weights_by_a_plain_loop():
    vectors, merged = units(12, batch=2), torch.randint(-1, 3, (2, 12), generator=torch.Generator().manual_seed(2))
    found = region_weights(vectors, merged)
    for one, numbers, weights in zip(vectors.double(), merged.tolist(), found, strict=True):
        alike = one @ one.T
        for i, row in enumerate(alike):
            scores = [
                4 * float(row[j])
                if (numbers[i] == numbers[j] >= 0) or (min(numbers[i], numbers[j]) < 0 and row[j] > alike.mean())
                else -torch.inf
                for j in range(12)
            ]
            torch.testing.assert_close(weights[i], torch.tensor(scores).softmax(0), rtol=1e-4, atol=1e-5)


def test_without_regions_and_of_one_colour_every_patch_has_finite_weights():
    alike = torch.full((1, 5, 4), 0.5)
    none = torch.full((1, 5), -1)
    weights = region_weights(alike, none)
    torch.testing.assert_close(weights.sum(2), torch.ones(1, 5))
    assert merge_regions(alike[0], none[0]).eq(-1).all()


@pytest.fixture(scope="module")
def encoder():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return made


def test_an_image_in_which_nothing_was_found(encoder):
    dense = DenseEncoder(encoder, CorrCLIPReadout(ColourGuide(), layers=1))
    side = 2 * encoder.patch_size
    for images in (torch.rand(1, 3, side, side), torch.full((1, 3, side, side), 0.3)):
        found = dense(images, regions=torch.full((1, side, side), -1))
        assert found.grid.isfinite().all()
        assert found.regions.eq(-1).all()


def test_branches_add_up(encoder):
    side = 3 * encoder.patch_size
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(3))
    regions = (torch.arange(side) // encoder.patch_size).expand(2, side, side)
    maps = {}
    for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2.0, 3.0, 0.5)):
        readout = CorrCLIPReadout(ColourGuide(), 0.2, 1, *map(float, weights))
        maps[weights] = DenseEncoder(encoder, readout)(images, regions=regions).grid
    expected = 2 * maps[1, 0, 0] + 3 * maps[0, 1, 0] + 0.5 * maps[0, 0, 1]
    torch.testing.assert_close(maps[2.0, 3.0, 0.5], expected, rtol=1e-4, atol=1e-5)


def test_unusable_settings(encoder):
    with pytest.raises(UsageError, match="compares patches by a guide, and has none; give it one: dino"):
        CorrCLIPReadout()
    with pytest.raises(UsageError, match=r"a layer or more; got eps=0\.2, layers=0"):
        CorrCLIPReadout(ColourGuide(), layers=0)
    with pytest.raises(UsageError, match="published for towers of 12, 24 and 32 blocks"):
        DenseEncoder(encoder, CorrCLIPReadout(ColourGuide()))
    with pytest.raises(UsageError, match="reads fewer layers than the"):
        DenseEncoder(encoder, CorrCLIPReadout(ColourGuide(), layers=40))
    dense = DenseEncoder(encoder, CorrCLIPReadout(ColourGuide(), layers=1))
    with pytest.raises(UsageError, match="reads the regions of the image; give its model a mask_maker"):
        dense(torch.rand(1, 3, 32, 32))
