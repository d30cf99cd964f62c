"""Every readout, refiner and region embedder on every kind of image tower: it runs, or says what to take instead."""

import re
from functools import cache

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from toys.clip import tiny_clip
from toys.guides import ColourGuide
from toys.readouts import GUIDED, SPLICED, asked, fitted
from toys.resnet import resnet_clip
from toys.timm_towers import KINDS, OF_CONVOLUTIONS, timm_clip

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts import READOUTS
from densevl.encoders.clip import CLIPEncoder
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.embedders.prompted import PromptedRegions
from densevl.regions.embedders.text_region import TextRegion

TOWERS = ("open_clip", "resnet", *KINDS)
NO_ATTENTION = (
    r"FastViT ends in convolutions and leaves no attention to read; take readout=plain|"
    r"tokens between blocks were asked of a tower of convolutions; take readout=plain"
)
REFUSED = {
    **{("cliptrase", tower): "the class token, which this image tower has not" for tower in ("siglip", "mean", "pe-g")},
    **{("corrclip", tower): "copies the class token, and this tower has none" for tower in ("siglip", "mean", "pe-g")},
    **{("corrclip", tower): "tokens between blocks were asked of a tower of conv" for tower in OF_CONVOLUTIONS},
    ("corrclip", "resnet"): "reads fewer layers than the 1 blocks",
    ("cliptrase", "resnet"): "the block before the last, and the image tower of 'resnet' has 1",
    ("clip-surgery", "resnet"): "the last block of this image tower pools",
    ("gem", "resnet"): "the last block of this image tower pools",
    ("radseg", "resnet"): "the last one of this tower pools; take readout=maskclip",
    ("resclip", "resnet"): "the last block of this image tower pools",
    **{
        (readout, tower): "read the class token, and this tower has none; set readout.rule=density and readout.class_w"
        for readout in ("sc-clip", "sfp")
        for tower in ("siglip", "mean", "pe-g")
    },
    **{(readout, "resnet"): "asked of an image tower of 1 blocks" for readout in ("sc-clip", "sfp")},
}
"""Towers that a readout is not for, and what the error says."""
SHALLOW = {"resnet": "has one block alone", "mobileclip-b": "unknown map", "open_clip": "unknown map"}
"""Towers of too few blocks for the map that a refiner reads by default, and what the error says."""
REFINERS = {
    "finer": {"type": "finer", "side": 2},
    "finer with keys": {"type": "finer", "side": 2, "maps": ["blocks.0"]},
    "walk": {"type": "walk", "steps": 2, "long": 2},
    "dinoiser": {"type": "dinoiser", "weights": "random:0"},
}


@cache
def encoder(tower):
    if tower == "open_clip":
        made = tiny_clip()
        made.model.float().eval().requires_grad_(False)
        return made
    return CLIPEncoder(resnet_clip(), SimpleTokenizer(), "resnet") if tower == "resnet" else timm_clip(tower)


def pictures(tower, count=2):
    """Images whose sides are no multiple of a patch."""
    patch = encoder(tower).patch_size
    return torch.rand(count, 3, 3 * patch - 3, 2 * patch - 5, generator=torch.Generator().manual_seed(1))


def works_on_each(dense, tower, grid=None):
    """Features of a batch are finite, on the right grid, and those of its images."""
    images = pictures(tower)
    if dense.needs.windows:  # all of a batch belong together: an image of one window is what is left of it
        images = images[1:]
    features = dense(images, **asked(dense, images))
    one, all_of_it = dense(images[-1:], **asked(dense, images[-1:])).grid, features.grid
    assert all_of_it.isfinite().all()
    assert all_of_it.shape[:2] == (len(images), encoder(tower).dim)
    expected = grid or tuple(-(-side // features.patch_size) for side in images.shape[2:])
    assert tuple(all_of_it.shape[2:]) == expected
    torch.testing.assert_close(all_of_it[-1:], one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def run(tower, head, images):
    dense = DenseEncoder(encoder(tower), head)
    return dense(images, **asked(dense, images))


@pytest.mark.parametrize("readout", READOUTS.names)
@pytest.mark.parametrize("tower", TOWERS)
def test_readouts(tower, readout):
    error = REFUSED.get((readout, tower), NO_ATTENTION if tower in OF_CONVOLUTIONS and readout != "plain" else None)
    head, images = fitted(readout), pictures(tower)
    if error is not None:
        with pytest.raises(UsageError, match=error):
            run(tower, head, images)
        return
    dense = DenseEncoder(encoder(tower), head)
    if readout in SPLICED:
        found = dense(images, **asked(dense, images))
        assert found.grid.shape == (1, encoder(tower).dim, *dense.readout.sam.grid)
        assert found.grid.isfinite().all()
        return
    works_on_each(dense, tower, ColourGuide().grid if readout in GUIDED else None)


@pytest.mark.parametrize("readout", ["sc-clip", "sfp"])
def test_layers_of_twelve_blocks(readout):
    with pytest.raises(UsageError, match=r"towers of 12, and this one has 4; set readout.middle, readout.early, rea"):
        DenseEncoder(encoder("eva02"), readout)


@pytest.mark.parametrize("refiner", REFINERS)
@pytest.mark.parametrize("tower", TOWERS)
def test_refiners(tower, refiner):
    dense = DenseEncoder(encoder(tower), "plain", [REFINERS[refiner]])
    error = None
    if tower in OF_CONVOLUTIONS and refiner in ("walk", "dinoiser"):
        error = r"unknown map 'blocks.-[23].ln_2'; write `blocks.<index>` with an index"
    elif (tower in SHALLOW and refiner == "dinoiser") or (tower == "resnet" and refiner in ("walk", "finer with keys")):
        error = SHALLOW[tower]
    if error is not None:
        with pytest.raises(UsageError, match=error):
            dense(pictures(tower))
        return
    works_on_each(dense, tower)


@pytest.mark.parametrize("tower", TOWERS)
def test_keys(tower):
    dense = DenseEncoder(encoder(tower), "plain")
    if tower in OF_CONVOLUTIONS:
        with pytest.raises(UsageError, match=NO_ATTENTION):
            dense(pictures(tower), keys=True)
        return
    features = dense(pictures(tower), keys=True)
    assert features.keys.shape == (2, encoder(tower).width, *features.grid.shape[2:])


@pytest.mark.parametrize("tower", [tower for tower in TOWERS if tower != "resnet"])
def test_a_summary_tells_kinds_of_images(tower):
    if encoder(tower).depth < 2:
        pytest.skip("one block has no middle")
    found = DenseEncoder(encoder(tower), "plain").summarise(pictures(tower))
    assert len(found) == 2
    assert found.isfinite().all()


NO_MASKED_ATTENTION = "text-region puts masks in the place of the last attention"
EMBEDDERS = {
    "text-region": lambda made: TextRegion(made, short_side=None, crop=3 * made.patch_size, positions="size"),
    "mask-pooling": lambda made: MaskPooling(made, "plain", short_side=None),
    "marked-images": lambda made: MarkedImages(made, ["crop", "blur_mask"]),
    "prompter": lambda made: PromptedRegions(made, "random:0"),
}


WITHOUT_VALUES = ("resnet",)
"""Towers whose last attention pools, or was taken away."""


@pytest.mark.parametrize("kind", EMBEDDERS)
@pytest.mark.parametrize("tower", TOWERS)
def test_region_embedders(tower, kind):
    image = (pictures(tower, 1)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    height, width = image.shape[:2]
    boxes = torch.tensor([[0.0, 0, width / 2, height], [width / 2, 0, width, height / 2]])
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, :, : width // 2] = masks[1, : height // 2, width // 2 :] = True
    regions = Regions(boxes, (height, width), masks)
    if kind == "text-region" and tower in (*OF_CONVOLUTIONS, *WITHOUT_VALUES):
        with pytest.raises(UsageError, match=NO_MASKED_ATTENTION):
            EMBEDDERS[kind](encoder(tower)).embed(image, regions)
        return
    found = EMBEDDERS[kind](encoder(tower)).embed(image, regions)
    vectors = found.vectors
    assert vectors.shape[-1] == encoder(tower).dim
    assert vectors.isfinite().all()
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]))


def test_the_cure_of_an_error_is_a_readout():
    assert re.search(r"readout=(\w+)", NO_ATTENTION)[1] in READOUTS.names
