"""Noun phrases: the chunker against NLTK's with the same grammar; phrases of captions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.tasks.annotation.noun_phrases import MOST_PHRASES, chunks, noun_phrases, phrase_words
from densevl.tasks.annotation.rule_tagger import rule_tags

TAGS = ["DT", "PDT", "JJ", "JJR", "JJS", "NN", "NNS", "NNP", "NNPS", "IN", "VBG", "CC", "CD", ".", ",", "PRP$"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(TAGS), min_size=1, max_size=20))
def test_chunks_are_those_of_nltk(tags):
    nltk = pytest.importorskip("nltk")
    tree = nltk.RegexpParser("NP: {<DT>?<JJ.*>*<NN.*>+}").parse([(str(i), tag) for i, tag in enumerate(tags)])
    expected = [
        (int(part[0][0]), int(part[-1][0]) + 1) for part in tree if isinstance(part, nltk.Tree) and part.label() == "NP"
    ]
    assert chunks(tags) == expected


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("A man riding a brown horse down the street.", ["man", "brown horse", "street"]),
        ("A bunch of bananas sitting on top of a wooden table.", ["bananas", "wooden table"]),
        ("This is a picture of two black dogs in the background", ["black dogs"]),
        (
            "a red circle, a small white star and a blue heart on grass",
            ["red circle", "small white star", "blue heart", "grass"],
        ),
        ("The dog's bowl and his bowl", ["dog", "bowl"]),
        ("A photo of something on the left side", []),
        ("", []),
        ("?!", []),
    ],
)
def test_phrases_of_captions(caption, phrases):
    assert list(noun_phrases(caption, rule_tags)) == phrases


def test_a_phrase_comes_once_and_there_are_at_most_twenty():
    captions = ["a red dog and a Red  Dog", *(f"a {colour} bird" for colour in ("red", "blue") * 3), "a red dog"]
    assert noun_phrases(captions, rule_tags) == ("red dog", "red bird", "blue bird")
    many = [f"a thing{chr(97 + i)} and a cup{chr(97 + i)}" for i in range(26)]
    found = noun_phrases(many, rule_tags)
    assert len(found) == MOST_PHRASES
    assert found == noun_phrases(many, rule_tags, 52)[:MOST_PHRASES]


def test_no_word_is_in_both_lists():
    words = phrase_words()
    assert not words.stop & words.generic
