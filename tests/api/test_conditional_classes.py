"""Classes whose texts depend on the region or pixel: every command makes these texts by the model that it has."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import densevl
from densevl import Classes, UsageError, Vocabulary, WeightsError
from densevl.api.jobs.check import CheckJob
from densevl.api.jobs.search import SearchJob
from densevl.classifiers.classes import Head
from densevl.classifiers.conditional import ConditionalClassifier, conditional_parts
from densevl.classifiers.contracts import SumClassifier
from densevl.datasets.examples import read_examples
from densevl.datasets.scenes import render
from densevl.encoders.tuning.attached import delta_of
from densevl.encoders.tuning.conditional_context import ConditionalContext
from densevl.encoders.tuning.contracts import Look
from densevl.encoders.tuning.style_context import StyleContext
from densevl.regions.embedders.embedder import space_of
from densevl.tasks.search import RegionIndex

SIZE = (96, 128)
NAMES = ("ring", "star", "moon")


@pytest.fixture(scope="module")
def model():
    crops = {"type": "marked-images", "encoder": {"type": "clip", "weights": "mini-clip"}, "visual_prompts": ["crop"]}
    return densevl.load("mini", device="cpu", embedder=crops, short_side=32)


@pytest.fixture(scope="module")
def context(model):
    """Class texts that are far from alike for different regions."""
    torch.manual_seed(0)
    made = ConditionalContext(model.embedder.encoder, words="", count=2)
    for parameter in made.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def classes(model, context, tmp_path_factory):
    """As a file gives them: no model is at hand."""
    words, encoder = Vocabulary.from_classes(NAMES), model.embedder.encoder
    of_regions = ConditionalClassifier(20.0, words, encoder.model_id, space_of(model.embedder))
    of_pixels = ConditionalClassifier(20.0, words, encoder.model_id)
    heads = {name: Head(one, encoder.dim) for name, one in (("regions", of_regions), ("pixels", of_pixels))}
    path = tmp_path_factory.mktemp("tuned") / "classes.safetensors"
    Classes(words, heads, {"name": "mini"}, delta_of([context], encoder.model_id)).save(path)
    return Classes.load(path)


def scene():
    return render(5, 3, SIZE, "val", count=(2, 3))


def boxes(drawn):
    return [[float(side) for side in item.box] for item in drawn.objects]


def probabilities(context, vectors):
    texts = context.class_vectors(NAMES, Look(vectors))
    return (20.0 * torch.einsum("nd,nkd->nk", vectors, texts)).softmax(1)


def test_a_file_says_which_model_makes_the_texts(classes):
    with pytest.raises(UsageError, match="made by the model that was tuned"):
        classes.head("regions")(torch.zeros(1, classes.heads["regions"].dim))
    assert len(list(conditional_parts(SumClassifier((classes.head("regions"),), (1.0,))))) == 1


def test_regions_are_recognised_by_texts_of_their_own(model, context, classes):
    drawn = scene()
    vectors = model.embed([drawn.image], [boxes(drawn)])[0].vectors.float()
    expected = probabilities(context, vectors)
    assert (expected - expected[0]).abs().max() > 0.01
    found = model.recognise(drawn.image, boxes(drawn), classes)
    torch.testing.assert_close(found.probabilities, expected)
    said = model.trust(drawn.image, boxes(drawn), classes)["regions"]
    assert [one["confidence"] for one in said] == pytest.approx(expected.max(1).values.tolist(), abs=1e-5)
    alone = model.recognise(drawn.image, boxes(drawn)[1:], classes)
    torch.testing.assert_close(alone.probabilities, expected[1:])


def test_pixels_are_labelled_by_texts_of_their_own(model, context, classes):
    drawn = scene()
    found = model.segment(drawn.image, classes, scores=True)
    assert found.vocabulary.names == NAMES
    cells = model.segmentor.encode([drawn.image])[0]
    again = model.segment(cells, model.bound(classes).head("pixels"), scores=True)
    np.testing.assert_allclose(found.scores, again.scores, atol=1e-6)
    head, vectors = model.bound(classes).head("pixels"), F.normalize(torch.rand(2, 70, 192), dim=-1)
    torch.testing.assert_close(head(vectors).softmax(-1)[1], probabilities(context, vectors[1]))
    assert head(torch.rand(0, 192)).shape == (0, len(NAMES))


def test_expressions_and_indices_know_them(model, context, classes):
    drawn = scene()
    answer = model.refer(drawn.image, "the star", boxes(drawn), classes)
    assert set(answer.parts) == {"taught classes"}
    embedded = model.embed([drawn.image], [boxes(drawn)])
    index = RegionIndex.of(["0.png"], [densevl.Regions.from_boxes(boxes(drawn), SIZE)], embedded)
    hits = SearchJob(index, model, classes=classes).by_text(["star"], top=1, overlap=None)[0]
    expected = probabilities(context, index.vectors.float())[:, 1]
    assert hits[0].score == pytest.approx(float(expected.max()), abs=1e-5)


def test_they_are_checked_on_examples(model, classes, tmp_path):
    drawn = scene()
    Image.fromarray(drawn.image).save(tmp_path / "0.png")
    records = [
        {"image": "0.png", "name": NAMES[place % 3], "box": [int(side) for side in box]}
        for place, box in enumerate(boxes(drawn))
    ]
    (tmp_path / "test.json").write_text(json.dumps(records), encoding="utf-8")
    regions = Classes(classes.vocabulary, {"regions": classes.heads["regions"]}, classes.model, classes.delta)
    job = CheckJob(model, regions, tmp_path / "classes.safetensors", tmp_path / "report")
    assert job.run(read_examples(tmp_path / "test.json"), "test.json")["regions"].scores is not None


def test_another_model_and_a_lost_delta_are_refused(model, classes):
    lost = Classes(classes.vocabulary, classes.heads, classes.model)
    with pytest.raises(UsageError, match="holds no delta"):
        model.recognise(scene().image, boxes(scene()), lost)
    other = densevl.core.delta.Delta("other@1", classes.delta.parts, classes.delta.tensors, False)
    with pytest.raises(UsageError, match="were tuned in 'other@1'"):
        model.bound(Classes(classes.vocabulary, classes.heads, classes.model, other))
    damaged = [{**classes.delta.tensors[0], "vectors": torch.zeros(1, 3)}]
    broken = densevl.core.delta.Delta(classes.delta.model_id, classes.delta.parts, damaged, False)
    with pytest.raises(WeightsError, match="does not fit"):
        model.bound(Classes(classes.vocabulary, classes.heads, classes.model, broken))


def test_classes_without_such_texts_stay_the_same_value(model):
    from densevl.classifiers.contracts import LinearClassifier

    words = Vocabulary.from_classes(NAMES)
    plain = Classes(words, {"regions": Head(LinearClassifier(torch.eye(3), torch.zeros(3), words, "any@1"), 3)})
    assert model.bound(plain) is plain


def test_texts_that_read_tokens_have_the_usual_shift_where_there_are_none(model):
    encoder = model.embedder.encoder
    made = StyleContext(encoder, words="", count=2)
    made.usual.data += 0.3
    words = Vocabulary.from_classes(NAMES)
    head = Head(ConditionalClassifier(20.0, words, encoder.model_id, space_of(model.embedder)), encoder.dim)
    classes = Classes(words, {"regions": head}, {"name": "mini"}, delta_of([made], encoder.model_id))
    vectors = F.normalize(torch.rand(4, encoder.dim), dim=1)
    texts = made.texts.units(NAMES, (made.vectors + made.usual).expand(len(NAMES), -1, -1))
    torch.testing.assert_close(model.bound(classes).head("regions")(vectors), 20 * vectors @ texts.detach().mT)
