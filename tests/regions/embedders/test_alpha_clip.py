"""Alpha-CLIP as a region embedder: masks, boxes and what a fourth channel of zeros leaves of it."""

import numpy as np
import pytest
import torch
from toys.region_models import ALPHA, save_alpha

import densevl
from densevl.core.errors import UsageError, WeightsError
from densevl.core.regions import Regions
from densevl.encoders.loading import build_clip
from densevl.regions.embedders.alpha_clip import AlphaRegions


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    path, base = save_alpha(tmp_path_factory.mktemp("alpha"))
    return AlphaRegions(build_clip(path, ALPHA, base=base, text_cache=False), batch=2)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def regions():
    masks = torch.zeros(3, 40, 60, dtype=torch.bool)
    masks[0, 4:20, 6:30], masks[1, 10:14], masks[2, :, 50:] = True, True, True
    return Regions.from_masks(masks)


def test_a_fourth_channel_of_zeros_leaves_clip_as_it_is(tmp_path, image, regions):
    path, base = save_alpha(tmp_path, alpha=0.0)
    encoder = build_clip(path, ALPHA, base=base, text_cache=False)
    vision = {key: value for key, value in ALPHA["vision_cfg"].items() if key != "tower"}
    clip = build_clip(base, {**ALPHA, "vision_cfg": vision}, text_cache=False)
    pixels = torch.rand(2, 3, 50, 40)
    assert torch.equal(encoder.embed_images(pixels), clip.embed_images(pixels))
    assert torch.equal(encoder.tokens(pixels), clip.tokens(pixels))
    assert torch.equal(encoder.embed_texts(["a cat"]), clip.embed_texts(["a cat"]))
    whole = clip.embed_images(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, "squash")
    torch.testing.assert_close(AlphaRegions(encoder).embed(image, regions).vectors, whole.expand(3, -1))


def test_masks_decide_and_regions_do_not_see_each_other(embedder, image, regions):
    together = embedder.embed(image, regions)
    assert together.model_id == embedder.encoder.model_id
    torch.testing.assert_close(together.vectors.norm(dim=1), torch.ones(3))
    assert (together.vectors @ together.vectors.T).tril(-1).max() < 0.9999
    for i in range(3):
        torch.testing.assert_close(embedder.embed(image, regions[i]).vectors[0], together.vectors[i])


def test_a_box_is_its_filled_mask(embedder, image, regions):
    boxes = regions.with_masks(None)
    vectors = embedder.embed(image, boxes).vectors
    torch.testing.assert_close(vectors, embedder.embed(image, regions.with_filled_boxes()).vectors)
    empty = embedder.embed(image, regions.with_masks(torch.zeros_like(regions.masks))).vectors
    torch.testing.assert_close(vectors, empty)
    ignored = AlphaRegions(embedder.encoder, use_masks=False)
    assert not ignored.reads_masks
    torch.testing.assert_close(vectors, ignored.embed(image, regions).vectors)


def test_the_whole_image_is_all_ones(embedder, image):
    whole = embedder.embed(image, Regions.whole((40, 60))).vectors
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(whole, embedder.encoder.embed_images(pixels, "squash"))


def test_a_thin_box_is_still_looked_at(embedder, image):
    thin = Regions(torch.tensor([[10.2, 3.0, 10.4, 30.0]]), (40, 60))
    column = torch.zeros(1, 40, 60, dtype=torch.bool)
    column[0, 3:30, 10] = True
    expected = embedder.embed(image, thin.with_masks(column)).vectors
    torch.testing.assert_close(embedder.embed(image, thin).vectors, expected)


def test_no_regions_and_regions_of_another_image(embedder, image, regions):
    assert embedder.embed(image, regions[[]]).vectors.shape == (0, 32)
    with pytest.raises(UsageError, match="belong to an image"):
        embedder.embed(image[:30], regions)


def test_an_encoder_without_a_fourth_channel_is_refused():
    with pytest.raises(UsageError, match=r"that sees masks.*arch='alpha-clip-b16'"):
        AlphaRegions({"type": "clip", "weights": "mini-clip"})


def test_files(tmp_path):
    path, base = save_alpha(tmp_path)
    with pytest.raises(WeightsError, match="base=NAME"):
        build_clip(path, ALPHA)
    with pytest.raises(WeightsError, match="another model"):
        build_clip(base, ALPHA)


def test_a_model_by_configuration(tmp_path, image):
    path, base = save_alpha(tmp_path)
    encoder = {"type": "clip", "weights": str(path), "arch": ALPHA, "base": str(base)}
    model = densevl.load({"grounder": {"embedders": [{"type": "alpha-clip", "encoder": encoder}], "negatives": None}})
    boxes = [[0, 0, 30, 20], [30, 10, 60, 40]]
    found = model.refer(image, "the left thing", proposals=boxes)
    assert len(found.probabilities) == 2
    assert model.embed(image, boxes).vectors.shape == (2, 32)
