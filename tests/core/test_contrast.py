import json

import pytest

from densevl.core.contrast import LEAST, ContrastWords, common_words, contrast_names, count_words
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import CLASSES, HELD_OUT

CAPTIONS = [
    "A dog on the grass",
    "Two dogs, a ball; dog!",
    "grass by a traffic light",
    "Wolves, knives and men",
    "nothing",
]
COUNTED = count_words(CAPTIONS, ["dog", "grass", "ball", "light", "traffic light", "wolf", "knife", "man"])


def test_words_are_counted_once_a_caption_in_the_singular_and_the_longest_first():
    assert COUNTED["captions"] == 5
    assert COUNTED["counts"] == {"dog": 2, "grass": 2, "ball": 1, "traffic light": 1, "wolf": 1, "knife": 1, "man": 1}
    assert COUNTED["together"]["dog"] == {"grass": 1, "ball": 1}
    assert COUNTED["together"]["wolf"] == {"knife": 1, "man": 1}


def test_counts_are_those_of_a_plain_loop():
    words = ["sand", "red ring", "blue star"]
    captions = [" and ".join(word for bit, word in enumerate(words) if number >> bit & 1) for number in range(8)] * 3
    counted = count_words(captions, words)
    for word in words:
        assert counted["counts"][word] == sum(word in caption for caption in captions)
        for other in set(words) - {word}:
            assert counted["together"][word][other] == sum(word in one and other in one for one in captions)


def listed(**changes):
    return ContrastWords.of("mine", {"words": ["sky"], **COUNTED, **changes})


def test_words_of_a_query_are_those_that_stand_beside_it_the_most_frequent_first():
    counted = count_words(["dog grass"] * 3 + ["dog ball"] * 5 + ["cat sofa"], ["dog", "grass", "ball", "cat", "sofa"])
    words = ContrastWords.of("mine", {"words": ["sky"], **counted})
    assert words.words_for(["dog"]) == ("ball", "grass")
    assert words.words_for(["cat", "Dog"]) == ("ball", "grass", "sofa")


def test_rare_neighbours_are_left_out():
    rare = int(1 / LEAST) + 50
    words = listed(counts={"dog": rare, "grass": 9}, together={"dog": {"grass": 2, "ball": 1}})
    assert words.words_for(["dog"]) == ("grass",)


def test_a_query_that_was_not_counted_takes_its_last_words_or_the_neutral_ones():
    assert set(listed().words_for(["big brown dog"])) == {"grass", "ball"}
    assert listed().words_for(["cat"]) == ("sky",)
    assert listed().words_for(["Sky"]) == ()


@pytest.mark.parametrize("name", contrast_names())
def test_built_in_lists_say_where_they_come_from(name):
    words = ContrastWords.load(name)
    assert words.source
    assert words.words
    assert len(set(words.words)) == len(words.words)


def test_the_counts_of_scenes_have_no_pair_that_training_never_shows():
    words = ContrastWords.load("scenes")
    unseen = {f"{colour} {shape}" for colour, shape in HELD_OUT}
    assert set(words.counts) == set(CLASSES) - unseen
    assert not unseen & {word for row in words.together.values() for word in row}
    assert set(words.words_for(["purple ring"])) <= set(CLASSES)


def test_common_words_are_classes_of_photographs():
    words = common_words()
    assert {"sky", "dog", "traffic light"} <= set(words)
    assert "background" not in words
    assert set(Vocabulary.load("ade20k").names) <= set(words)


@pytest.mark.parametrize(
    "content", [{}, {"words": [3]}, {"words": "sky"}, {"together": {"dog": {}}}, {"words": [" "]}, 3, None, []]
)
def test_a_file_that_is_no_list_is_named(tmp_path, content):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"mine.json: expected \{"):
        ContrastWords.load(str(path))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(UsageError, match="not a JSON file"):
        ContrastWords.load(str(tmp_path / "mine.json"))
    with pytest.raises(UsageError, match="'nutral' are unknown; did you mean"):
        ContrastWords.load("nutral")
