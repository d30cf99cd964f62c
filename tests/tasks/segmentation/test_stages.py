"""Stages: sorted by what they change, each with what it needs, and the orders of averaging around them."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.text import grid_logits
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.stages.pamr import PAMR
from densevl.encoders.contracts import NOTHING, Needs
from densevl.encoders.loading import build_clip
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.stages import Stages

WORDS = "cat, sofa|couch, dog"


@pytest.fixture(scope="module")
def encoder():
    return build_clip("mini-clip", text_cache=False)


def make(encoder, **options):
    return Segmentor(encoder, **{"templates": "none", "short_side": None, "window": 32, "stride": 16, **options})


@dataclass
class Recorded:
    """A stage that keeps what it is given, and adds a number."""

    name: str = "recorded"
    needs: Needs = NOTHING
    acts_on: str = "cosines"
    added: Any = 0.0

    def __call__(self, scores, seen, **given):
        self.scores, self.seen, self.given = scores.clone(), seen, given
        return scores + self.added


@dataclass
class OnPixels(Recorded):
    on_pixels: bool = True
    acts_on: str = "scores"


@dataclass
class OnTexts:
    name: str = "without the first"
    on_texts: bool = True

    def __call__(self, texts, features):
        kept = texts.query_classes != 0
        return replace(texts, vectors=texts.vectors[kept], query_classes=texts.query_classes[kept])


@dataclass
class OnLabels:
    name: str = "one more"
    on_labels: bool = True

    def __call__(self, labels, features, windows):
        assert len(features.grid) == len(windows)
        return labels + 1


def asked(segmentor, vocabulary):
    encoded = segmentor.encode_resized([torch.rand(3, 48, 40)], [(60, 50)])[0]
    return encoded, segmentor.embed(vocabulary)


@pytest.fixture
def vocabulary():
    return Vocabulary.parse(WORDS)


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_a_stage_of_cosines_sees_queries_before_the_temperature(encoder, vocabulary, average):
    stage = Recorded(needs=Needs(texts=True, windows=True, images=True))
    segmentor = make(encoder, stages=[stage], average=average, temperature=50.0)
    encoded, texts = asked(segmentor, vocabulary)
    with_it = segmentor.label(encoded, texts)
    units = F.normalize(encoded.features.grid, dim=1)
    torch.testing.assert_close(stage.scores, torch.einsum("ndhw,qd->nqhw", units, texts.vectors))
    assert stage.given["windows"] == encoded.plan.boxes
    assert stage.given["texts"] is texts
    torch.testing.assert_close(stage.given["images"], encoded.plan.crop(encoded.pixels[None]))
    without = make(encoder, average=average, temperature=50.0).label(encoded, texts)
    assert torch.equal(with_it[0], without[0])
    torch.testing.assert_close(with_it[1], without[1])
    stage.added = torch.tensor([0.0, 0.0, 9.0, 0.0])[:, None, None]  # the second name of a class
    assert (segmentor.label(encoded, texts)[0] == 1).all()


def test_a_stage_of_probabilities_goes_with_their_average(encoder):
    with pytest.raises(UsageError, match="makes no probabilities of patches, which recorded changes"):
        make(encoder, stages=[Recorded(acts_on="probabilities")], average="logits")


def test_a_stage_of_pixels_gets_bare_cosines_where_logits_are_averaged(encoder, vocabulary):
    stage = OnPixels(needs=Needs(texts=True))
    segmentor = make(encoder, stages=[stage], average="logits", temperature=50.0)
    encoded, texts = asked(segmentor, vocabulary)
    scores = segmentor.scores(encoded, texts)
    assert stage.scores.shape == (4, 60, 50)
    assert stage.scores.abs().max() <= 1
    assert stage.given["texts"] is texts
    wanted = (stage.scores * 50).softmax(0)
    wanted = torch.stack([wanted[0], wanted[1:3].amax(0), wanted[3]])
    torch.testing.assert_close(scores, wanted / wanted.sum(0))
    left = make(encoder, stages=[stage], average="logits", temperature=50.0, normalise=False)
    torch.testing.assert_close(left.scores(encoded, texts), wanted)


def test_a_stage_of_pixel_probabilities_comes_last(encoder, vocabulary):
    stage = OnPixels(acts_on="probabilities")
    for average in ("logits", "probabilities"):
        segmentor = make(encoder, stages=[stage, PAMR(1)], average=average)
        encoded, texts = asked(segmentor, vocabulary)
        scores = segmentor.scores(encoded, texts)
        torch.testing.assert_close(stage.scores, scores)
        assert torch.equal(segmentor.label(encoded, texts)[0], scores.argmax(0))


@pytest.mark.parametrize("stages", [[], [PAMR(2)]])
@pytest.mark.parametrize("normalise", [True, False])
def test_labels_of_few_classes_at_a_time_are_those_of_all(encoder, vocabulary, stages, normalise):
    segmentor = make(encoder, stages=stages, average="logits", normalise=normalise)
    encoded, texts = asked(segmentor, vocabulary)
    labels, best = segmentor.label(encoded, texts)
    wanted, winner = segmentor.scores(encoded, texts).max(0)
    assert torch.equal(labels, winner)
    torch.testing.assert_close(best, wanted)


def test_a_class_that_lost_its_queries_is_not_found(encoder, vocabulary):
    for average in ("logits", "probabilities"):
        segmentor = make(encoder, stages=[OnTexts()], average=average)
        encoded, texts = asked(segmentor, vocabulary)
        assert not (segmentor.label(encoded, texts)[0] == 0).any()


def test_labels_are_changed_last(encoder, vocabulary):
    plain, changed = make(encoder), make(encoder, stages=[OnLabels()])
    encoded, texts = asked(plain, vocabulary)
    assert torch.equal(changed.label(encoded, texts)[0], plain.label(encoded, texts)[0] + 1)


def test_patches_drawn_at_once(encoder, vocabulary):
    segmentor = make(encoder, window=None, upsampling="direct", border="drop", average="logits")
    image = torch.rand(3, 45, 38)
    encoded = segmentor.encode_resized([image], [(60, 50)])[0]
    texts = segmentor.embed(vocabulary)
    grid = DenseEncoder(encoder, border="drop")(image[None]).grid
    cosines = grid_logits(grid, lambda units: units @ texts.vectors.mT)
    drawn = F.interpolate(cosines, (60, 50), mode="bilinear")[0]
    wanted = (drawn * segmentor.temperature).softmax(0)
    wanted = torch.stack([wanted[0], wanted[1:3].amax(0), wanted[3]])
    torch.testing.assert_close(segmentor.scores(encoded, texts), wanted / wanted.sum(0), atol=1e-5, rtol=1e-4)
    with pytest.raises(UsageError, match="direct goes with whole images, window=None; got a window of 32"):
        make(encoder, upsampling="direct")


@pytest.mark.parametrize("size", [(45, 38), (56, 112)])
def test_a_centred_border_is_cut_off_again(encoder, vocabulary, size):
    segmentor = make(encoder, window=None, border="centre56", average="logits")
    image = torch.rand(3, *size)
    encoded, texts = segmentor.encode_resized([image], [size])[0], segmentor.embed(vocabulary)
    left, top, right, bottom = encoded.features.extent
    cosines = grid_logits(encoded.features.grid, lambda units: units @ texts.vectors.mT)
    drawn = F.interpolate(cosines, (bottom - top, right - left), mode="bilinear")[0]
    drawn = drawn[:, -top : size[0] - top, -left : size[1] - left]
    wanted = (drawn * segmentor.temperature).softmax(0)
    wanted = torch.stack([wanted[0], wanted[1:3].amax(0), wanted[3]])
    torch.testing.assert_close(segmentor.scores(encoded, texts), wanted / wanted.sum(0), atol=1e-5, rtol=1e-4)


def test_stages_are_sorted_and_named(encoder):
    stages = Stages([OnLabels(), OnPixels(), Recorded(), OnTexts()])
    assert stages.names == ["without the first", "recorded", "recorded", "one more"]
    assert make(encoder, stages=stages.of_labels).protocol["stages"] == ["one more"]


def test_what_a_stage_misses_is_said(encoder, vocabulary):
    segmentor = make(encoder, stages=[OnPixels()])
    encoded, texts = asked(segmentor, vocabulary)
    with pytest.raises(UsageError, match="recorded reads the image, which was encoded without it; encode it again"):
        segmentor.scores(replace(encoded, pixels=None), texts)


@dataclass
class OnCells(OnPixels):
    """A stage of cells of 7 × 5 pixels."""

    def cell(self, size):
        return 7, 5

    def on_cells(self, scores, image, **given):
        self.scores, self.seen, self.given = scores.clone(), image, given
        return scores * 2


@pytest.mark.parametrize("then", [[], [PAMR(1)]])
def test_a_first_stage_of_cells_gets_means_and_is_stretched(encoder, vocabulary, then):
    stage = OnCells(needs=Needs(texts=True))
    segmentor = make(encoder, stages=[stage, *then], average="logits")
    encoded, texts = asked(segmentor, vocabulary)
    plain = OnPixels()
    make(encoder, stages=[plain], average="logits").scores(encoded, texts)
    scores = segmentor.scores(encoded, texts)
    torch.testing.assert_close(stage.scores, F.avg_pool2d(plain.scores[None], (7, 5))[0])
    assert stage.seen.shape == (3, 60, 50)
    assert stage.given["texts"] is texts
    wanted = F.interpolate(2 * stage.scores[None], (60, 50), mode="bilinear")[0]
    for one in then:
        wanted = one(wanted, encoded.as_given)
    wanted = (wanted * segmentor.temperature).softmax(0)
    wanted = torch.stack([wanted[0], wanted[1:3].amax(0), wanted[3]])
    torch.testing.assert_close(scores, wanted / wanted.sum(0), atol=1e-5, rtol=1e-4)
    labels, best = segmentor.label(encoded, texts)
    assert torch.equal(labels, scores.argmax(0))
    torch.testing.assert_close(best, scores.amax(0))
