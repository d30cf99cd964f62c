"""Captions that name a concept, counted by hand."""

from densevl.core.vocabulary import Vocabulary
from densevl.tasks.annotation.concept_counts import count_concepts

CAPTIONS = [
    "Two planes flying in the sky over a bridge.",
    "A plane and another plane near the bridges",
    "a man in an orange shirt beside a traffic light",
    "an orange and a banana on a table",
    "Traffic is light today.",
    "Some bananas, airplanes and teddy bears",
]


def counted(*classes):
    return count_concepts(CAPTIONS, Vocabulary.from_classes(list(classes)))


def test_singular_and_plural_count_once_a_caption():
    assert counted("plane", "bridge", "banana", "giraffe") == [2, 2, 2, 0]


def test_synonyms_are_one_class():
    assert counted(["plane", "airplane"]) == [3]


def test_words_must_stand_together_in_their_order():
    assert counted("traffic light", "teddy bear", "light traffic") == [1, 1, 0]


def test_an_adjective_is_no_thing():
    assert counted("orange", "shirt") == [1, 1]


def test_colours_and_shapes():
    captions = ["a small red circle and a blue star on sand", "a red star on sand and a circle"]
    names = Vocabulary.from_classes(["red circle", "blue star", "red star", "sand"])
    assert count_concepts(captions, names) == [1, 1, 1, 2]
