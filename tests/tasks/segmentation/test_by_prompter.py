"""Regions of a prompter are compared with texts of the same identity, and the dense segmentation with its own."""

import numpy as np
import pytest
import torch

from densevl import load
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.clip import CLIPEncoder
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor, RegionTextEmbeddings
from densevl.tasks.segmentation.segmentor import Segmentor

THINGS = Vocabulary.parse("red circle, blue ring|ring, grass")
RANDOM = {"type": "random-clip", "arch": "mini-clip", "seed": 0}
SETTINGS = {
    "type": "regions",
    "encoder": RANDOM,
    "embedder": {"type": "prompter", "prompter": "random:0", "side": 64},
    "templates": "none",
    "short_side": 64,
    "window": None,
}


def made(config):
    return load(config, device="cpu").segmentor


@pytest.fixture(scope="module")
def segmentor() -> RegionSegmentor:
    return made(SETTINGS)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def boxes(count, size, seed=0):
    corners = np.random.default_rng(seed).uniform(0, 1, (count, 2, 2)) * size[::-1]
    low, high = corners.min(1), corners.max(1)
    return Regions.from_boxes(np.concatenate([low, np.maximum(high, low + 1)], 1), size)


def test_regions_ask_texts_of_the_prompter_and_bare_pixels_texts_of_the_encoder(segmentor):
    image = picture(40, 56)
    regions = Regions.from_boxes([[4, 5, 30, 20], [20, 10, 50, 35]], (40, 56))
    (encoded,) = segmentor.encode_regions([image], [regions])
    texts = segmentor.embed(THINGS)
    assert isinstance(texts, RegionTextEmbeddings)
    assert texts.model_id == encoded.embeddings.model_id == segmentor.embedder.encoder.model_id
    assert texts.dense.model_id == encoded.features.model_id == segmentor.encoder.model_id != texts.model_id
    labels, best = segmentor.label(encoded, texts)
    bare = ~encoded.regions.masks.any(0)
    plain = Segmentor(segmentor.encoder, templates="none", short_side=64, window=None)
    expected = plain.label(plain.encode([image])[0], plain.embed(THINGS))
    assert 0 < bare.sum() < bare.numel()
    assert torch.equal(labels[bare], expected[0][bare])
    torch.testing.assert_close(best[bare], expected[1][bare])
    cosines = encoded.embeddings.vectors @ segmentor.encoder.embed_texts(THINGS.queries).T
    owner = torch.tensor(THINGS.query_classes)[cosines.argmax(1)]
    alone = encoded.regions.masks[0] & ~encoded.regions.masks[1]
    assert set(labels[alone].tolist()) == {int(owner[0])}


def test_foreign_texts_are_refused_in_every_place(segmentor):
    (encoded,) = segmentor.encode_regions([picture(40, 56)], [boxes(2, (40, 56))])
    plain = Segmentor(segmentor.encoder, templates="none").embed(THINGS)
    with pytest.raises(UsageError, match="the same model"):
        segmentor.label(encoded, plain)
    other = made({**SETTINGS, "embedder": {**SETTINGS["embedder"], "prompter": "random:1"}})
    with pytest.raises(UsageError, match="the same model"):
        segmentor.label(encoded, other.embed(THINGS))
    (empty,) = segmentor.encode_regions([picture(40, 56)], [boxes(0, (40, 56))])
    with pytest.raises(UsageError, match="the same model"):
        segmentor.label(empty, other.embed(THINGS))
    without = made({**SETTINGS, "uncovered": "nearest"}).embed(THINGS)
    with pytest.raises(UsageError, match="the same model"):
        segmentor.label(encoded, without)


def test_a_batch_is_one_pass_and_gives_what_its_members_give(segmentor, monkeypatch):
    pictures = [picture(40, 56, 1), picture(64, 30, 2), picture(20, 20, 3)]
    regions = [boxes(count, image.shape[:2], count) for count, image in zip((3, 0, 7), pictures, strict=True)]
    alone = [segmentor.embed_regions([image], [some])[0] for image, some in zip(pictures, regions, strict=True)]
    passes = []
    tokens = CLIPEncoder.tokens
    monkeypatch.setattr(CLIPEncoder, "tokens", lambda self, images: passes.append(len(images)) or tokens(self, images))
    together = segmentor.embed_regions(pictures, regions)
    assert passes == [2], "the picture without regions is not encoded, the others together"
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one.vectors, many.vectors, atol=1e-5, rtol=0)
        assert one.model_id == many.model_id == segmentor.embedder.encoder.model_id
    monkeypatch.undo()
    direct = segmentor.embedder.embed_batch(pictures, regions)
    assert [len(some) for some in direct] == [3, 0, 7]


def test_an_image_without_regions_is_segmented_densely(segmentor):
    image = picture(40, 56)
    (encoded,) = segmentor.encode_regions([image], [boxes(0, (40, 56))])
    plain = Segmentor(segmentor.encoder, templates="none", short_side=64, window=None)
    expected = plain.label(plain.encode([image])[0], plain.embed(THINGS))[0]
    assert torch.equal(segmentor.label(encoded, segmentor.embed(THINGS))[0], expected)


def test_boxes_need_no_masks_and_masks_do(segmentor):
    assert not segmentor.reads_masks
    assert made({**SETTINGS, "embedder": {**SETTINGS["embedder"], "hint": "mask"}}).reads_masks
    assert made({**SETTINGS, "embedder": {"type": "mask-pooling"}}).reads_masks
    assert not made({**SETTINGS, "embedder": {"type": "mask-pooling", "use_masks": False}}).reads_masks


def test_the_grounder_ranks_by_cosine(segmentor):
    settings = {"embedders": [{**SETTINGS["embedder"], "encoder": RANDOM}], "template": "{}", "negatives": None}
    grounder = load(settings, device="cpu").grounder
    pictures, names = [picture(40, 56, 1), picture(64, 30, 2)], ["red circle", "ring"]
    regions = [boxes(count, image.shape[:2], count) for count, image in zip((5, 3), pictures, strict=True)]
    batch = grounder.encode_batch(pictures, regions)
    for image, some, encoded in zip(pictures, regions, batch, strict=True):
        vectors = segmentor.embed_regions([image], [some])[0].vectors
        for text in names:
            order = (vectors @ segmentor.encoder.embed_texts([text])[0]).argsort(descending=True)
            assert grounder.refer(encoded, text).ranking == tuple(order.tolist())
            assert grounder.refer(image, text, some).ranking == tuple(order.tolist())
    with pytest.raises(UsageError, match="no region to choose from"):
        grounder.encode_batch(pictures, [regions[0], boxes(0, (64, 30))])


def test_which_prompter_is_taken():
    given = made({**SETTINGS, "embedder": {**SETTINGS["embedder"], "prompter": "random:1"}})
    changed = load(SETTINGS, device="cpu", **{"segmentor.embedder.prompter": "random:1"}).segmentor
    assert changed.embedder.encoder.model_id == given.embedder.encoder.model_id
    assert changed.embedder.encoder.model_id != made(SETTINGS).embedder.encoder.model_id
    whole = {**SETTINGS, "encoder": {"type": "clip", "weights": "mini-clip"}}
    random = load(whole, device="cpu", weights="random:1").segmentor
    assert random.encoder.model_id.endswith("@random:1")
    assert random.embedder.encoder.model_id == given.embedder.encoder.model_id.replace("random:0", "random:1")
    with pytest.raises(UsageError, match="takes no argument 'prompter'"):
        load({**SETTINGS, "embedder": {"type": "marked-images"}}, device="cpu", prompter="random:0")
