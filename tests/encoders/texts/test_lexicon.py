"""The lexicon: which of ImageNet's classes a text asks for."""

import pytest

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.core.readings import UnknownWord
from densevl.encoders.texts.lexicon import DATA, Lexicon, lexicon, wordnet_data


@pytest.fixture(scope="module")
def words() -> Lexicon:
    return lexicon()


def test_classes_are_in_the_order_of_timm(words: Lexicon) -> None:
    info = pytest.importorskip("timm.data").ImageNetInfo()
    assert [info.index_to_description(index).split(",")[0] for index in range(1000)] == list(words.classes)


@pytest.mark.parametrize(
    ("word", "classes"),
    [
        ("dog", [*range(151, 269)]),
        ("bear", [*range(294, 298)]),
        ("bird", [*range(7, 25), *range(80, 101), *range(127, 147)]),
        ("goldfish", [1]),
        ("banana", [954]),
    ],
)
def test_a_word_covers_what_is_below_it_in_wordnet(words: Lexicon, word: str, classes: list[int]) -> None:
    assert list(words.read(word).classes) == classes


def test_every_class_is_found_by_its_first_name(words: Lexicon) -> None:
    for index, name in enumerate(words.classes):
        reading = words.read(name)
        assert index in {one for sense in (reading.sense, *reading.others) for one in sense.classes}, name


def test_every_listed_word_can_be_read(words: Lexicon) -> None:
    for word in words.words:
        reading = words.read(word)
        assert reading.classes
        assert not reading.ignored
        for sense in (reading.sense, *reading.others):
            assert words.read(sense.name).classes == sense.classes, sense.name


@pytest.mark.parametrize(
    ("text", "word", "ignored"),
    [
        ("Dogs", "dog", ()),
        ("mice", "mouse", ()),
        ("a photo of a red dog", "dog", ("red",)),
        ("a bunch of bananas on a table", "banana", ()),
        ("yellow tennis balls", "tennis ball", ("yellow",)),
        ("fire truck", "fire truck", ()),
        ("dog running", "dog", ("running",)),
        ("tea pot", "teapot", ()),
        ("Jack-o'-lantern", "jack o lantern", ()),
    ],
)
def test_the_noun_of_a_phrase_counts(words: Lexicon, text: str, word: str, ignored: tuple[str, ...]) -> None:
    reading = words.read(text)
    assert (reading.word, reading.ignored) == (word, ignored)


@pytest.mark.parametrize(
    "text", ["prairie dog", "elephant statue", "dog house", "baseball glove", "giraffe", "", "the", "sunlit"]
)
def test_another_noun_is_not_taken_for_the_word_before_it(words: Lexicon, text: str) -> None:
    with pytest.raises(UnknownWord):
        words.read(text)


def test_an_unknown_word_comes_with_known_ones_near_it(words: Lexicon) -> None:
    with pytest.raises(UnknownWord, match=r"'giraffe' is not known .*: ruminant"):
        words.read("giraffe")
    with pytest.raises(UnknownWord, match=r"'water' is not known .* `densevl words`"):
        words.read("water")
    with pytest.raises(UnknownWord, match="zebra"):
        words.read("zebrra")


def test_unknown_words_are_one_error(words: Lexicon) -> None:
    with pytest.raises(UsageError, match=r"2 of 3 words are not known: 'giraffe' \(near it: .*\), 'xyzzy'"):
        words.read_all(["giraffe", "dog", "xyzzy"])
    assert [reading.word for reading in words.read_all(["dog", "cat"])] == ["dog", "cat"]


def test_a_word_that_covers_nearly_everything_is_refused(words: Lexicon) -> None:
    with pytest.raises(UnknownWord, match="covers 958 of the 1000 classes"):
        words.read("object")


def test_a_word_of_several_meanings_offers_them(words: Lexicon) -> None:
    machine, bird = words.read("crane"), words.read("cranes (bird)")
    assert machine.sense.name == "crane (device)"
    assert machine.classes == (517,)
    assert [other.name for other in machine.others] == ["crane (bird)"]
    assert any("'crane (bird)'" in remark for remark in machine.remarks)
    assert bird.classes == (134,)
    assert bird.remarks == ()
    with pytest.raises(UnknownWord, match="there is 'crane"):
        words.read("crane (fruit)")


def test_a_word_before_it_tells_the_meaning(words: Lexicon) -> None:
    assert words.read("bird crane").classes == (134,)


def test_a_more_frequent_meaning_that_is_unknown_is_told(words: Lexicon) -> None:
    reading = words.read("mouse")
    assert reading.classes == (673,)
    assert any("rodents" in remark for remark in reading.remarks)


def test_hardly_known_things_are_told(words: Lexicon) -> None:
    assert words.read("person").remarks == ("poorly known: 3 of its 8528 kinds",)
    assert words.read("dog").remarks == ()


def test_a_name_of_ours_says_what_stands_for_it(words: Lexicon) -> None:
    reading = words.read("cows")
    assert [words.classes[index] for index in reading.classes] == ["ox"]
    assert reading.remarks == ("stands for cattle, which ImageNet shows as 'ox'",)
    assert words.read("cat").remarks == ()
    with pytest.raises(UnknownWord, match="'rain barrel' alone"):
        words.read("swimming pool")


def test_each_of_our_names_stands_for_one_meaning_of_wordnet() -> None:
    data = read_json(DATA / "names.json")
    own, wordnet = lexicon(), Lexicon(wordnet_data(), {"names": {}, "labels": data["labels"]})
    for name, entry in data["names"].items():
        parts = [wordnet.read(part).classes for part in entry["for"]]
        assert not parts or set(own.read(name).classes) == {index for part in parts for index in part}, name
