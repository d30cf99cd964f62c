"""SAM's image encoders as guides, against those of the mask makers."""

import pytest
import torch
from toys.sam2 import tiny_sam2

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.contracts import Guide
from densevl.dense.guides import GUIDES
from densevl.dense.guides.sam import Sam2Guide, SamGuide
from densevl.encoders.sam.image import encode_image
from densevl.encoders.sam.model import open_sam


@pytest.fixture(scope="module")
def mini():
    return build(GUIDES, {"type": "sam", "weights": "mini-sam"})


def pictures(height, width, count=2):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2))


def test_features_are_those_that_the_mask_decoder_reads(mini):
    opened, images = open_sam("mini-sam"), pictures(160, 160)
    assert isinstance(mini, Guide)
    found = mini(images)
    expected = encode_image(opened.model.image_encoder, opened.model.preprocess(images * 255))
    torch.testing.assert_close(found.grid, expected, rtol=1e-4, atol=1e-4)
    assert mini.name == f"guide({opened.model_id}, part=features)"
    keys = SamGuide(opened.model, opened.model_id, "key")(images)
    assert torch.equal(keys.grid, keys.maps["key"])
    with pytest.raises(UsageError, match="part must be one of features, query"):
        SamGuide(opened.model, opened.model_id, "mlp")
    assert found.extent == (0, 0, 160, 160)


@pytest.mark.parametrize(("size", "cells"), [((100, 200), (10, 20)), ((200, 61), (20, 6)), ((3, 160), (1, 20))])
def test_the_padding_is_cut_off(mini, size, cells):
    images = pictures(*size)
    found = mini(images)
    assert found.grid.shape[2:] == cells
    assert found.maps.keys() == {"query", "key", "value"}
    for part in found.maps.values():
        assert part.shape == (2, 128, *cells)
        assert part.isfinite().all()
    torch.testing.assert_close(found.grid[1:], mini(images[1:]).grid, rtol=1e-4, atol=1e-4)


def test_sam_2(tmp_path):
    model = tiny_sam2()
    guide, images = Sam2Guide(model, "tiny"), pictures(50, 90)
    assert isinstance(guide, Guide)
    found = guide(images)
    assert found.grid.shape == (2, 32, 8, 8)
    assert found.maps == {}
    torch.testing.assert_close(found.grid[1:], guide(images[1:]).grid, rtol=1e-4, atol=1e-4)
    model.save_pretrained(tmp_path)
    loaded = build(GUIDES, {"type": "sam2", "weights": str(tmp_path), "offline": True})
    torch.testing.assert_close(loaded(images).grid, found.grid)
