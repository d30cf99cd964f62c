"""One class asked for alone, and the words that it is compared with."""

import pytest
import torch

import densevl
from densevl.core.background import Background
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import class_index, render
from densevl.tasks.segmentation.contrast import SIMILAR, apart, far
from densevl.tasks.segmentation.segmentor import Segmentor


@pytest.fixture(scope="module")
def mini():
    return densevl.load("mini", device="cpu")


@pytest.fixture(scope="module")
def scene():
    return render(11, 5, 128, "val")


def left(query, words):
    extended = Background("words", tuple(words)).extend(Vocabulary.parse(query))
    return list(apart(extended).classes[0][1:])


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("dogs", "dog"),  # the plural
        ("red circle", "circle"),  # without its adjective
        ("car", "police car"),  # a kind that names it
        ("woman", "person"),  # kinds and parts
        ("house", "window"),
        ("street", "road"),
        ("dog", "animal"),  # both cover classes of ImageNet
        ("sofa|couch", "furniture"),
        ("a photo of a red dog on grass", "animal"),
    ],
)
def test_words_that_mean_a_class_are_left_out(query, word):
    assert left(query, [word, "brick"]) == ["brick"]


@pytest.mark.parametrize(
    ("query", "word"), [("red circle", "blue circle"), ("dog", "grass"), ("woman", "man"), ("cat", "person")]
)
def test_words_of_other_things_stay(query, word):
    assert left(query, [word]) == [word]


def test_near_vectors_are_left_out():
    angles = torch.tensor([0.0, 0.2, 0.6, 0.7, 1.2, 3.0])
    words = torch.stack([angles.cos(), angles.sin()], dim=1)
    kept = far(words, torch.tensor([[1.0, 0.0]]))
    assert kept.tolist() == (angles.cos() <= SIMILAR).tolist()


def test_half_of_the_words_stay_where_all_vectors_are_near():
    angles = torch.tensor([0.1, 0.2, 0.3, 0.4])
    words = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert far(words, torch.tensor([[1.0, 0.0]])).tolist() == [False, False, True, True]
    assert far(words[:0], words).tolist() == []


def test_a_single_class_is_compared_with_words(mini):
    segmentor = mini.segmentor
    texts = segmentor.embed(Vocabulary.parse("red circle"))
    assert texts.vocabulary.names == ("background", "red circle")
    words = texts.vocabulary.classes[0][1:]
    assert {"grass", "blue circle"} <= set(words)
    assert "red circle" not in words
    assert len(texts.vectors) == len(words) + 2
    own = texts.vectors[texts.query_classes == 1]
    assert (texts.vectors[texts.query_classes == 0][1:] @ own.mT).max() <= SIMILAR


def test_a_word_whose_vector_is_near_is_no_query_of_the_background(mini):
    texts = mini.segmentor.embed(
        Vocabulary.parse("dog"), "contrast:neutral"
    )  # all unknown words are near to each other
    words = texts.vocabulary.classes[0][1:]
    assert 20 < len(words) < 40
    assert len(texts.vectors) == len(texts.query_classes) == len(words) + 2


@pytest.mark.parametrize("classes", ["red circle, grass", "background, red circle"])
def test_several_classes_are_compared_with_each_other(mini, classes):
    assert mini.segmentor.embed(Vocabulary.parse(classes)).vocabulary.queries == tuple(classes.split(", "))


def test_a_mode_that_somebody_names_is_kept(mini):
    alone = Vocabulary.parse("red circle")
    assert mini.segmentor.embed(alone, "none").vocabulary is alone
    assert str(mini.segmentor.mode_of(alone)) == "contrast:scenes"
    assert str(mini.segmentor.mode_of(alone, "contrast")) == "contrast:scenes"
    assert str(mini.segmentor.mode_of(alone, "contrast:neutral")) == "contrast:neutral"
    named = Segmentor(mini.segmentor.encoder, templates="none", background="none")
    assert named.embed(alone).vocabulary is alone
    assert (named.protocol["background"], named.protocol["single"]) == ("none", "none")
    plain = Segmentor(mini.segmentor.encoder, templates="none", single="literal")
    assert plain.embed(alone).vocabulary.queries == ("background", "red circle")


def test_words_that_are_classes_go_to_the_class(mini):
    texts = mini.segmentor.embed(Vocabulary.parse("red circle, grass"), "contrast")
    assert texts.vocabulary.names == ("background", "red circle", "grass")
    assert "grass" not in texts.vocabulary.classes[0]


def test_one_word_is_found_and_not_everywhere(mini, scene):
    for name in scene.names:
        labels = mini.segment(scene.image, name).labels
        found, shown = labels == 1, scene.labels == class_index(name)
        assert (found & shown).sum() / (found | shown).sum() > 0.7
    assert (mini.segment(scene.image, name, background="none").labels == 0).all()


def test_a_model_of_certain_words_leaves_out_the_others():
    photo_model = densevl.load("photo", device="cpu")
    texts = photo_model.segmentor.embed(Vocabulary.parse("cat"), "contrast")
    assert "car" in texts.vocabulary.classes[0]
    assert "sky" not in texts.vocabulary.classes[0][1:]
    assert photo_model.read_words("cat", "contrast").queries == (("cat", 0),)
    assert str(photo_model.segmentor.mode_of(Vocabulary.parse("cat"))) == "others"
