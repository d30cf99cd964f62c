import pytest

from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary, background_words

ANIMALS = Vocabulary.parse("cat, dog")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Background()),
        ("none", Background("none")),
        (True, Background("literal")),
        ("literal", Background("literal")),
        ("literal:0.1", Background("literal", threshold=0.1)),
        ("words:sky, wall", Background("words", ("sky", "wall"))),
        (["sky", "wall"], Background("words", ("sky", "wall"))),
        ("words", Background("words", background_words())),
        (0.5, Background("threshold", threshold=0.5)),
        ("threshold:0.25", Background("threshold", threshold=0.25)),
        ("contrast", Background("contrast")),
        ("contrast:scenes", Background("contrast", source="scenes")),
        ("head", Background("head", delta=0.99)),
        ("head:0.5", Background("head", delta=0.5)),
    ],
)
def test_parse_reads_what_users_write(value, expected):
    assert Background.parse(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(None, "literal", "literal:0.1", "words:sky,wall", "threshold:0.25", "head", "head:0.5"),
        *("contrast", "contrast:scenes"),
    ],
)
def test_text_round_trip(value):
    background = Background.parse(value)
    assert Background.parse(str(background)) == background


BAD_HEADS = ["head:0", "head:1.5", "head:nan", "head:high"]


@pytest.mark.parametrize(
    "value",
    [
        *BAD_HEADS,
        "threshold:high",
        "threshold:1.5",
        "threshold",
        0,
        1.0,
        "literal:x",
        "literal:2",
        "sky",
        [],
        "contrast:x",
    ],
)
def test_bad_values_are_named(value):
    with pytest.raises(UsageError):
        Background.parse(value)


def test_none_changes_nothing():
    assert Background().extend(ANIMALS) is ANIMALS


@pytest.mark.parametrize("mode", ["literal", "words:sky,wall", "threshold:0.4", "head", "contrast"])
def test_a_background_class_is_added(mode):
    extended = Background.parse(mode).extend(ANIMALS)
    assert len(extended) == 3
    assert extended.names[extended.background] == "background"
    assert [name for name in extended.names if name != "background"] == ["cat", "dog"]


def test_a_background_class_keeps_its_place():
    voc = Vocabulary.load("voc21")
    assert Background("literal").extend(voc) is voc
    words = Background("words", ("sky", "wall")).extend(voc)
    assert words.names == voc.names
    assert words.classes[words.background] == ("background", "sky", "wall")


def test_words_that_are_classes_are_left_to_them():
    extended = Background("words", ("Sky", "wall")).extend(Vocabulary.parse("sky, cat"))
    assert extended.classes[extended.background] == ("background", "wall")
    with pytest.raises(UsageError, match="other words"):
        Background("words", ("sky",)).extend(Vocabulary.parse("sky, cat"))
