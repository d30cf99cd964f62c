"""What is said of the words of a vocabulary, and which are refused."""

import pytest

from densevl.core.errors import UsageError
from densevl.core.readings import Reading, Sense, UnknownWord
from densevl.core.understood import Understood

DOG, CAT, COUCH = Sense("dog", "a dog", (1, 2)), Sense("cat", "a cat", (3,)), Sense("couch", "a couch", (4,))


def understood(*classes):
    """Of classes as lists of what was read of each synonym."""
    names = tuple(one[0].text for one in classes)
    pairs = [(one, index) for index, synonyms in enumerate(classes) for one in synonyms]
    return Understood(names, tuple((one.text, index) for one, index in pairs), tuple(one for one, _ in pairs))


def unknown(text, *near):
    return UnknownWord(f"{text!r} is not known", text, near)


def test_nothing_is_said_of_words_that_mean_what_they_say():
    words = understood([Reading("dog", "dog", DOG)], [Reading("cat", "cat", CAT)])
    assert words.remarks == ()
    assert words.summary == "knows 2 of 2"
    words.check()


def test_what_is_not_used_and_what_cannot_be_told_apart_is_said():
    red, blue = (Reading(f"{colour} dog", "dog", DOG, (colour,)) for colour in ("red", "blue"))
    words = understood([red], [blue], [Reading("couch", "couch", COUCH), unknown("settle")])
    assert words.remarks == (
        "'red dog': read as 'dog'; 'red' is not used",
        "'blue dog': read as 'dog'; 'blue' is not used",
        "'couch' is found by its other names; not known: 'settle'",
        "the same to this model: 'red dog', 'blue dog'",
    )
    assert [text for text, _ in words.known] == ["red dog", "blue dog", "couch"]
    words.check()


def test_classes_without_a_known_name_are_one_error():
    words = understood([Reading("dog", "dog", DOG)], [unknown("giraffe", "ruminant")], [unknown("xyz"), unknown("zyx")])
    with pytest.raises(UsageError, match=r"2 of 3 words are not known: 'giraffe' \(near it: ruminant\), 'xyz'; "):
        words.check()
    words.check_any()
    assert words.summary == "knows 1 of 3, not giraffe, xyz"


def test_the_only_unknown_class_is_told_in_full():
    words = understood([unknown("giraffe", "ruminant")])
    with pytest.raises(UnknownWord, match="'giraffe' is not known"):
        words.check_any()
