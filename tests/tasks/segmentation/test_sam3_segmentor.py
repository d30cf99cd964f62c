"""Label maps by a small SAM 3 against the formula written out plainly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import densevl
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.sam3 import build_sam3
from densevl.tasks.segmentation.contracts import LabelMaker
from densevl.tasks.segmentation.sam3_segmentor import Sam3Segmentor, Screen

ANIMALS = Vocabulary.parse("cat, sofa|couch|settee, dog, tree")


@pytest.fixture(scope="module")
def sam3(tiny_sam3):
    return build_sam3(tiny_sam3)


@pytest.fixture(scope="module")
def segmentor(sam3):
    return Sam3Segmentor(sam3, prompt_batch=2)


def picture(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain_scores(sam3, image, vocabulary):
    """One query at a time, one instance at a time."""
    seen, maps = sam3.see(image), []
    for synonyms in vocabulary.classes:
        best = torch.zeros(16, 16)
        for text in synonyms:
            found = sam3.ask(seen, sam3.phrases([text]))
            here = found.semantic[0]
            for mask, score in zip(found.masks[0], found.scores[0], strict=True):
                here = torch.maximum(here, mask * score)
            best = torch.maximum(best, here * found.presence[0])
        maps.append(best)
    return F.interpolate(torch.stack(maps)[None], image.shape[:2], mode="bilinear", align_corners=False)[0]


def test_scores_and_labels_are_the_formula(segmentor, sam3):
    expected = plain_scores(sam3, picture(), ANIMALS)
    (encoded,) = segmentor.encode([picture()])
    texts = segmentor.embed(ANIMALS)
    torch.testing.assert_close(segmentor.scores(encoded, texts), expected, rtol=1e-4, atol=1e-5)
    labels, best = segmentor.label(encoded, texts)
    torch.testing.assert_close(best, expected.amax(0), rtol=1e-4, atol=1e-5)
    sure = expected.topk(2, dim=0).values.diff(dim=0)[0].abs() > 1e-4
    assert torch.equal(labels[sure], expected.argmax(0)[sure])
    assert isinstance(segmentor, LabelMaker)


def test_classes_in_groups_give_the_same(segmentor, monkeypatch):
    from densevl.tasks.segmentation import streamed

    (encoded,) = segmentor.encode([picture()])
    texts = segmentor.embed(ANIMALS, "threshold:0.3")
    together = segmentor.label(encoded, texts)
    monkeypatch.setattr(streamed, "VALUES_AT_ONCE", 1)
    for one, other in zip(segmentor.label(encoded, texts), together, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_batch_gives_what_its_members_give(segmentor):
    images = [picture(40, 60, 1), picture(33, 47, 2)]
    texts = segmentor.embed(ANIMALS)
    for image, encoded in zip(images, segmentor.encode(images), strict=True):
        (alone,) = segmentor.encode([image])
        assert torch.equal(segmentor.scores(encoded, texts), segmentor.scores(alone, texts))
    tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    (resized, _) = segmentor.encode_resized(tensors, [(20, 30), (33, 47)])
    assert segmentor.label(resized, texts)[0].shape == (20, 30)


@pytest.mark.parametrize("margin", [False, True])
def test_backgrounds(sam3, margin):
    segmentor = Sam3Segmentor(sam3, margin=margin)
    (encoded,) = segmentor.encode([picture()])
    scores = segmentor.scores(encoded, segmentor.embed(ANIMALS))
    first, second = scores.topk(2, dim=0).values
    level = float(first.median()) if not margin else float((first * (first - second).sqrt()).median()) ** 0.8
    texts = segmentor.embed(ANIMALS, f"threshold:{level}")
    labels, _ = segmentor.label(encoded, texts)
    value = first * (first - second).sqrt() if margin else first
    limit = level**1.25 if margin else level
    clear = (value - limit).abs() > 1e-5
    assert torch.equal((labels == 0)[clear], (value < limit)[clear])
    assert 0.3 < (labels == 0).float().mean() < 0.7
    assert texts.vocabulary.names[0] == "background"
    assert len(texts.vectors) == 6


def test_a_screen_keeps_classes_of_large_presence(sam3):
    segmentor = Sam3Segmentor(sam3, screen={"side": 28, "part": 0.5, "most": 40})
    (encoded,) = segmentor.encode([picture()])
    texts = segmentor.embed(ANIMALS)
    small = sam3.see(picture(), 28)
    presence = [
        max(float(sam3.ask(small, sam3.phrases([text])).presence) for text in synonyms) for synonyms in ANIMALS.classes
    ]
    kept = sorted(np.argsort(presence)[-2:].tolist())
    scores = segmentor.scores(encoded, texts)
    assert [label for label, score in enumerate(scores) if score.max() > 0] == kept
    whole = Sam3Segmentor(sam3)
    expected = whole.scores(encoded, texts)
    torch.testing.assert_close(scores[kept], expected[kept], rtol=1e-4, atol=1e-5)
    assert set(segmentor.label(encoded, texts)[0].unique().tolist()) <= set(kept)


def test_a_screen_keeps_the_first_of_equals_and_at_most_so_many():
    presence = torch.tensor([0.5, 0.9, 0.5, 0.5, 0.1])
    assert Screen(part=0.4).keep(presence).tolist() == [True, True, False, False, False]
    assert Screen(part=1, most=1).keep(presence).tolist() == [False, True, False, False, False]
    assert Screen(part=0.01).keep(presence).sum() == 1
    with pytest.raises(UsageError, match="a screen keeps"):
        Screen(part=0)


def test_a_single_class_is_told_by_a_threshold(segmentor):
    texts = segmentor.embed(Vocabulary.parse("cat"))
    assert (texts.vocabulary.names, texts.threshold) == (("background", "cat"), 0.5)
    assert segmentor.embed(Vocabulary.parse("cat"), "none").threshold is None
    assert len(segmentor.embed(Vocabulary.parse("cat"), "contrast").vectors) > 40
    with pytest.raises(UsageError, match="no background mode `head`"):
        segmentor.embed(ANIMALS, "head")


def test_loaded_by_name_it_segments(tiny_sam3, tmp_path, capsys):
    model = densevl.load("activesam", device="cpu", weights=str(tiny_sam3), **{"screen.side": 28})
    found = model.segment(picture(), "cat, dog")
    assert found.labels.shape == (40, 60)
    assert model.segmentor.protocol["screen"] == {"side": 28, "part": 0.2, "most": 40}
    with pytest.raises(UsageError, match="no vectors of patches"):
        model.embed(picture())
    with pytest.raises(UsageError, match="SAM 3 alone, and no other encoder"):
        densevl.load("sam3@mini-clip")


def test_other_classes_and_images_are_refused(segmentor):
    mini = densevl.load("mini-maskclip", device="cpu").segmentor
    (encoded,), texts = mini.encode([picture()]), mini.embed(ANIMALS)
    with pytest.raises(UsageError, match="asked by texts"):
        segmentor.label(encoded, texts)
    with pytest.raises(UsageError, match="encoded by another model"):
        segmentor.label(encoded, segmentor.embed(ANIMALS))
