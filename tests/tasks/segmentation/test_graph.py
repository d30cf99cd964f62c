"""The module that graphs are made of, run as it is, against the segmentor."""

import numpy as np
import pytest
import torch

import densevl
from densevl.core.errors import UsageError
from densevl.datasets.scenes.scene import render
from densevl.tasks.segmentation.graph import SegmentationGraph

SIZES = [((48, 64), (48, 64)), ((37, 51), (20, 90)), ((16, 19), (1, 3))]
SETTINGS = {
    "plain": ({}, "grass, brick", None),
    "synonyms": ({}, "grass|lawn|meadow, brick, heart|yellow heart", None),
    "words": ({}, "yellow heart", "words:grass,brick"),
    "threshold": ({}, "grass, brick|bricks", "threshold:0.6"),
    "logits": ({"average": "logits"}, "grass|lawn, brick", None),
    "naclip": ({"readout": "naclip", "positions": "plus", "border": "drop"}, "grass, brick", None),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_answers_as_the_segmentor(name):
    settings, classes, background = SETTINGS[name]
    segmentor = densevl.load("mini-maskclip", device="cpu", **settings).segmentor
    texts = segmentor.embed(densevl.Vocabulary.parse(classes), background)
    graph, labelling = (SegmentationGraph(segmentor, texts, output).eval() for output in ("scores", "labels"))
    for image, size in SIZES:
        images = torch.randint(0, 256, (2, 3, *image), dtype=torch.uint8)
        encoded = segmentor.encode_resized(list(images), [size, size])
        with torch.no_grad():
            (found,) = graph(images, torch.tensor(size))
            labels, best = labelling(images.float() / 255, torch.tensor(size))
        for one, own, label, confidence in zip(encoded, found, labels, best, strict=True):
            torch.testing.assert_close(own, segmentor.scores(one, texts), atol=1e-5, rtol=1e-4)
            wanted, wanted_best = segmentor.label(one, texts)
            torch.testing.assert_close(confidence, wanted_best, atol=1e-5, rtol=1e-4)
            assert (label == wanted).float().mean() > 0.99


def test_the_head_of_dinoiser_marks_the_background():
    segmentor = densevl.load("mini", device="cpu").segmentor
    texts = segmentor.embed(densevl.Vocabulary.parse("yellow heart, blue circle"), "head:0.9999")
    scenes = [render(3, number, size=(45, 62), split="val").image for number in range(2)]
    images, size = torch.from_numpy(np.stack(scenes)).permute(0, 3, 1, 2).float() / 255, (45, 62)
    with torch.no_grad():
        (found,) = SegmentationGraph(segmentor, texts).eval()(images, torch.tensor(size))
    for one, own in zip(segmentor.encode_resized(list(images), [size, size]), found, strict=True):
        torch.testing.assert_close(own, segmentor.scores(one, texts), atol=1e-5, rtol=1e-4)
    assert (found.sum(1) > 1.01).any()  # a marked patch keeps what its classes have


def test_vectors_in_the_place_of_classes():
    segmentor = densevl.load("mini-maskclip", device="cpu").segmentor
    texts = segmentor.embed(densevl.Vocabulary.parse("grass, brick, yellow heart"))
    images, size = torch.rand(1, 3, 40, 40), torch.tensor((40, 40))
    with torch.no_grad():
        (baked,) = SegmentationGraph(segmentor, texts).eval()(images, size)
        (given,) = SegmentationGraph(segmentor).eval()(images, size, texts.vectors.clone())
    assert torch.equal(baked, given)


def test_unknown_outputs_are_refused():
    segmentor = densevl.load("mini-maskclip", device="cpu").segmentor
    with pytest.raises(UsageError, match="output must be one of scores, labels; got 'masks'"):
        SegmentationGraph(segmentor, output="masks")
    segmentor.dense.readout = type(
        "Reader", (), {"needs": segmentor.readout.needs._replace(texts=True), "name": "reader"}
    )
    with pytest.raises(UsageError, match="reader reads the classes beside the images"):
        SegmentationGraph(segmentor)
