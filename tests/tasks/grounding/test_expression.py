"""The parsers on English as it is written in referring expressions."""

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.tasks.grounding.expression import parse_expression, parse_reclip
from densevl.tasks.grounding.parsers import load_parser, parser_name
from densevl.tasks.grounding.phrase import Phrase, Relation, Superlative

TREES = {
    "guy in red shirt far left": "(guy in red shirt | most left)",
    "woman on right": "(woman | most right)",
    "bottom right bowl": "(bowl | most below | most right)",
    "the cat behind the sofa": "(cat behind the sofa)",
    "the left dog": "(dog | most left)",
    "The dog, on the LEFT.": "(dog | most left)",
    "dog on the left": "(dog | most left)",
    "leftmost dog": "(dog | most left)",
    "left most elephant": "(elephant | most left)",
    "right one": "(anything | most right)",
    "far left": "(anything | most left)",
    "left": "(anything | most left)",
    "the one in the middle": "(anything | most middle)",
    "middle zebra": "(zebra | most middle)",
    "top-left sandwich": "(sandwich | most above | most left)",
    "top left corner pizza": "(pizza | most above | most left)",
    "pizza in the top left corner of the picture": "(pizza | most above | most left)",
    "person on the left side of the image": "(person | most left)",
    "the lower left hand donut": "(donut | most below | most left)",
    "the person who is furthest to the right": "(person | most right)",
    "person at the far right in black": "(person in black | most right)",
    "guy on the right with his right arm up": "(guy with his right arm up | most right)",
    "brown and white cow, top left": "(brown and white cow | most above | most left)",
    "kid on left that's looking down": "(kid that's looking down | most left)",
    "dude on left w/ hat": "(dude with hat | most left)",
    "the highest red shape": "(red shape | most above)",
    "lowest shape": "(shape | most below)",
    "the largest shape": "(shape | most bigger)",
    "the smallest green ring": "(green ring | most smaller)",
    "bigger of the two dogs": "(two dogs | most bigger)",
    "the bigger dog": "(dog | most bigger)",
    "second from left": "(anything | 2. from left)",
    "second zebra from the right": "(zebra | 2. from right)",
    "third guy from left in black": "(guy in black | 3. from left)",
    "2nd from top": "(anything | 2. from above)",
    "left side of the sandwich": "(sandwich | most left)",
    "top of the cake": "(cake | most above)",
    "the heart left of the ring": "(heart | left (ring))",
    "the star to the left of the blue ring": "(star | left (blue ring))",
    "the dog that is to the right of the cat": "(dog | right (cat))",
    "the vase on the right side of the table": "(vase | right (table))",
    "left of man": "(anything | left (man))",
    "the girl to the right of the man in the blue shirt": "(girl | right (man in the blue shirt))",
    "the small shape below the large green heart": "(small shape | below (large green heart))",
    "the plate right above the cup": "(plate | above (cup))",
    "the book on top of the table": "(book | above (table))",
    "the dog bigger than the cat": "(dog | bigger (cat))",
    "cup smaller than the bowl": "(cup | smaller (bowl))",
    "the apple inside the bowl": "(apple | inside (bowl))",
    "apple in a white bowl on the left": "(apple | inside (white bowl | most left))",
    "the man between the dog and the red car": "(man | between (dog) and (red car))",
    "the man between the two cars": "(man between the two cars)",
    "the leftmost dog above the red car": "(dog | most left | above (red car))",
    "the cup left of the plate under the lamp": "(cup | left (plate | below (lamp)))",
    "the cup left of the plate and above the fork": "(cup | left (plate) | above (fork))",
    "guy left of the woman, far right": "(guy | most right | left (woman))",
    "the small red star on grass": "(small red star on grass)",
    "man with left hand raised": "(man with left hand raised)",
    "man in the left lane": "(man in the left lane)",
    "the woman's right shoe": "(woman's right shoe)",
    "lady on his left": "(lady on his left)",
    "man right next to the tree": "(man right next to the tree)",
    "woman in black top": "(woman in black top)",
    "girl in tank top on right": "(girl in tank top | most right)",
    "bike leaning over": "(bike leaning over)",
    "赤い丸": "(赤い丸)",
}


FURTHER = {
    "bigger of the two dogs": "(dog | most bigger)",
    "the man between the two cars": "(man | between (car) and (car))",
    "man right next to the tree": "(man | near (tree))",
}
"""What the parser of users reads beyond ReCLIP's relations and superlatives."""


@pytest.mark.parametrize(("text", "tree"), TREES.items())
def test_trees(text, tree):
    assert str(parse_reclip(text)) == tree
    assert str(parse_expression(text)) == FURTHER.get(text, tree)


def test_a_set_of_expressions_is_read_right_or_said_not_to_be(capsys):
    rows = json.loads((Path(__file__).parent / "expressions.json").read_text(encoding="utf-8"))["rows"]
    assert len({row["expression"] for row in rows}) == len(rows) >= 120
    whole, said, wrong, published = 0, 0, [], 0
    for row in rows:
        phrase = parse_expression(row["expression"])
        expected = row["reading"], tuple(row.get("not_understood", ()))
        if (str(phrase), phrase.not_understood) != expected:
            wrong.append((row["expression"], str(phrase), phrase.not_understood))
        whole += not expected[1]
        said += bool(expected[1])
        published += str(parse_reclip(row["expression"])) == row["reading"]
    with capsys.disabled():
        print(
            f"\n{len(rows)} expressions: {whole} to be read, {said} in part not; rules wrong on {len(wrong)}; reclip",
            end="",
        )
        print(f" reads {published} so")
    assert not wrong


def test_what_is_not_understood_stays_in_the_phrase():
    phrase = parse_expression("the zebra facing left, not near the tree")
    assert not phrase.superlatives
    assert phrase.not_understood == ("facing left", "not near the tree")
    assert all(part in phrase.text for part in phrase.not_understood)
    assert parse_reclip("the zebra facing left").not_understood == ()


def test_counts():
    assert parse_expression("the two dogs").count == 2
    assert parse_expression("all dogs").count is None
    assert parse_expression("the dog").count == parse_expression("rightmost of the four dogs").count == 1


def test_parsers_by_name():
    assert load_parser("rules") is parse_expression
    assert load_parser("reclip") is parse_reclip
    assert [parser_name(load_parser(name)) for name in ("rules", "reclip")] == ["rules", "reclip"]
    assert load_parser(str.upper) is str.upper
    for name in ("spacy", "reclip2"):
        with pytest.raises(UsageError, match="unknown parser"):
            load_parser(name)


@pytest.mark.parametrize(
    "words", ["not ", "left of the ", "the two of ", "behind ", "and ", "second from ", "a", "near to "]
)
def test_long_expressions_are_read_at_once_or_refused(words):
    start = time.perf_counter()
    for parse in (parse_expression, parse_reclip):
        for most in (60, 490, 5000):
            with suppress(UsageError):
                parse(" ".join((words * most).split()[:most]) + " dog")
    assert time.perf_counter() - start < 5


def test_the_tree_as_values():
    phrase = parse_expression("the second star from the left under the big ring")
    ring = Phrase("big ring")
    assert phrase == Phrase("star", (Superlative("left", 2),), (Relation("below", (ring,)),))
    assert phrase.texts == ("star", "big ring")
    assert not phrase.simple
    assert parse_expression("a red star").simple
    assert parse_expression("left").texts == ()


@pytest.mark.parametrize("text", ["", "  ", "?!", "\n", "_"])
def test_nothing_to_look_for(text):
    with pytest.raises(UsageError, match="names nothing"):
        parse_expression(text)


WORDS = [
    "left",
    "right",
    "of",
    "near",
    "two",
    "dogs",
    "facing",
    "the",
    "and",
    "top",
    "between",
    "in",
    "bowl",
    "dog",
    "second",
    "from",
    ",",
    "side",
    "than",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14))
def test_no_words_are_invented_and_nothing_fails(words):
    if set(words) == {","}:
        return
    said = set(" ".join(words).replace(",", " ").split())
    for text in parse_expression(" ".join(words)).texts:
        assert set(text.replace(",", " ").split()) <= said | {"dog"}
    for text in parse_reclip(" ".join(words)).texts:
        assert set(text.replace(",", " ").split()) <= said


def test_two_hundred_words_are_taken_apart():
    phrase = parse_expression("the dog " + "that is brown and happy " * 40 + "left of the cat")
    assert phrase.relations == (Relation("left", (Phrase("cat"),)),)


def test_the_expressions_of_scenes_keep_their_relations():
    from densevl.datasets.scenes import expressions, render

    kinds = {"left of": "left", "right of": "right", "above": "above", "below": "below"}
    seen = set()
    for index in range(12):
        for expression in expressions(render(5, index)):
            phrase = parse_expression(expression.text)
            if expression.kind == "relation":
                relation = next(word for word in kinds if f" {word} the " in expression.text)
                head, landmark = expression.text.split(f" {relation} the ")
                expected = Relation(kinds[relation], (Phrase(landmark),))
                assert phrase == Phrase(head.removeprefix("the "), (), (expected,))
            else:
                assert len(phrase.superlatives) == (expression.kind == "extreme")
                assert not phrase.relations
            seen.add(expression.kind)
    assert seen >= {"attribute", "extreme", "relation"}
