import pytest
import torch
import torch.nn.functional as F
from toys.guides import ColourGuide

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.lavg import LaVGReadout, mean_of_regions
from densevl.encoders.loading import build_clip


@pytest.fixture(scope="module")
def encoder():
    return build_clip("mini-clip")


def halves(count=2):
    """Images of two colours, one above and beside the other."""
    images = torch.zeros(count, 3, 64, 64)
    images[:, 0, :, :32] = 1.0
    images[:, 2, :, 32:] = 1.0
    images[0] = images[0].mT.clone()
    return images


def test_mean_of_regions():
    features = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor([[0, 0, 2, 2, 2], [0, 3, 3, 2, 2], [3, 3, 3, 3, 0]])
    found = mean_of_regions(features, regions)
    for y in range(3):
        for x in range(5):
            same = [features[:, a, b] for a in range(3) for b in range(5) if regions[a, b] == regions[y, x]]
            torch.testing.assert_close(found[:, y, x], sum(same) / len(same))


def test_regions_of_the_guide_have_one_feature(encoder):
    dense = DenseEncoder(encoder, LaVGReadout("sclip", ColourGuide((8, 8)), steps=0))
    features = dense(halves())
    assert features.regions.shape == (2, 8, 8)
    assert set(features.regions.unique().tolist()) == {0, 1}
    assert (features.regions[1, :, :4] == features.regions[1, 0, 0]).all()
    assert (features.regions[0, 4:] == features.regions[0, 7, 0]).all()
    plain = F.normalize(DenseEncoder(encoder, "sclip")(halves()).grid, dim=1)
    torch.testing.assert_close(features.grid[1, :, 0, 0], plain[1, :, :, :4].mean((1, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        features.grid[1, :, :, 4:], plain[1, :, :, 4:].mean((1, 2))[:, None, None].expand(-1, 8, 4)
    )


def test_a_batch_is_its_images(encoder):
    dense = DenseEncoder(encoder, LaVGReadout("naclip", ColourGuide((5, 7)), threshold=0.3))
    images = torch.rand(2, 3, 56, 72, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(dense(images).grid[1:], dense(images[1:]).grid, rtol=1e-4, atol=1e-5)


def test_one_colour_is_one_region(encoder):
    dense = DenseEncoder(encoder, LaVGReadout(guide=ColourGuide()))
    assert not dense(torch.full((1, 3, 64, 64), 0.4)).regions.any()


def test_bad_settings():
    with pytest.raises(UsageError, match="cuts an image by a guide; give it one of"):
        LaVGReadout()
    for wrong in ({"threshold": 1.0}, {"most": 0}, {"limit": 2.0}, {"reach": 0.0}, {"steps": -1}):
        with pytest.raises(UsageError, match="LaVG takes a threshold"):
            LaVGReadout(guide=ColourGuide(), **wrong)
    names = {LaVGReadout(guide=ColourGuide(), **one).name for one in ({}, {"most": 2}, {"readout": "naclip"})}
    assert len(names) == 3
