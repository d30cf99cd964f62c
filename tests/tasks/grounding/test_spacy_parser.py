"""The parser over spaCy's trees: trees given by hand, as its English pipelines draw them, against the rules."""

import sys

import pytest

from densevl import load
from densevl.core.errors import UsageError
from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.grounding.grounder import Grounder

spacy = pytest.importorskip("spacy")

TREES = {
    "the left dog": "the:DET:det:2 left:ADJ:amod:2 dog:NOUN:ROOT:2",
    "dog on the left": "dog:NOUN:ROOT:0 on:ADP:prep:0 the:DET:det:3 left:NOUN:pobj:1",
    "guy in red shirt far left": (
        "guy:NOUN:ROOT:0 in:ADP:prep:0 red:ADJ:amod:3 shirt:NOUN:pobj:1 far:ADV:advmod:5 left:ADV:advmod:0"
    ),
    "the star to the left of the blue ring": (
        "the:DET:det:1 star:NOUN:ROOT:1 to:ADP:prep:1 the:DET:det:4 left:NOUN:pobj:2 of:ADP:prep:4 the:DET:det:8 "
        "blue:ADJ:amod:8 ring:NOUN:pobj:5"
    ),
    "the book on top of the table": (
        "the:DET:det:1 book:NOUN:ROOT:1 on:ADP:prep:1 top:NOUN:pobj:2 of:ADP:prep:3 the:DET:det:6 table:NOUN:pobj:4"
    ),
    "the man between the dog and the red car": (
        "the:DET:det:1 man:NOUN:ROOT:1 between:ADP:prep:1 the:DET:det:4 dog:NOUN:pobj:2 and:CCONJ:cc:4 the:DET:det:8 "
        "red:ADJ:amod:8 car:NOUN:conj:4"
    ),
    "the cup left of the plate under the lamp": (
        "the:DET:det:1 cup:NOUN:ROOT:1 left:ADJ:amod:1 of:ADP:prep:2 the:DET:det:5 plate:NOUN:pobj:3 "
        "under:ADP:prep:5 the:DET:det:8 lamp:NOUN:pobj:6"
    ),
    "the dog that is to the right of the cat": (
        "the:DET:det:1 dog:NOUN:ROOT:1 that:PRON:nsubj:3:WDT is:AUX:relcl:1 to:ADP:prep:3 the:DET:det:6 "
        "right:NOUN:pobj:4 of:ADP:prep:6 the:DET:det:9 cat:NOUN:pobj:7"
    ),
    "second zebra from the right": (
        "second:ADJ:amod:1 zebra:NOUN:ROOT:1 from:ADP:prep:1 the:DET:det:4 right:NOUN:pobj:2"
    ),
    "pizza in the top left corner of the picture": (
        "pizza:NOUN:ROOT:0 in:ADP:prep:0 the:DET:det:5 top:ADJ:amod:5 left:ADJ:amod:5 corner:NOUN:pobj:1 "
        "of:ADP:prep:5 the:DET:det:8 picture:NOUN:pobj:6"
    ),
    "the dog bigger than the cat": (
        "the:DET:det:1 dog:NOUN:ROOT:1 bigger:ADJ:amod:1 than:ADP:prep:2 the:DET:det:5 cat:NOUN:pobj:3"
    ),
    "left of man": "left:ADV:ROOT:0 of:ADP:prep:0 man:NOUN:pobj:1",
    "left side of the sandwich": ("left:ADJ:amod:1 side:NOUN:ROOT:1 of:ADP:prep:1 the:DET:det:4 sandwich:NOUN:pobj:2"),
    "man with left hand raised": ("man:NOUN:ROOT:0 with:ADP:prep:0 left:ADJ:amod:3 hand:NOUN:pobj:1 raised:VERB:acl:3"),
    "lady on his left": "lady:NOUN:ROOT:0 on:ADP:prep:0 his:PRON:poss:3 left:NOUN:pobj:1",
    "woman in black top": "woman:NOUN:ROOT:0 in:ADP:prep:0 black:ADJ:amod:3 top:NOUN:pobj:1",
    "the right one": "the:DET:det:2 right:ADJ:amod:2 one:NOUN:ROOT:2",
    "apple in a white bowl": "apple:NOUN:ROOT:0 in:ADP:prep:0 a:DET:det:4 white:ADJ:amod:4 bowl:NOUN:pobj:1",
}


def doc_of(tree, vocab):
    """A parsed text from ``word:part of speech:label:head[:tag]``."""
    rows = [row.split(":") for row in tree.split()]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("words", "pos", "deps"))}
    tags = [row[4] if len(row) > 4 else row[1] for row in rows]
    return spacy.tokens.Doc(vocab, heads=[int(row[3]) for row in rows], tags=tags, **columns)


@pytest.fixture(scope="module")
def pipeline():
    """A blank English pipeline that draws the trees of this file."""

    @spacy.Language.component("drawn_by_hand")
    def drawn_by_hand(doc):
        return doc_of(TREES[doc.text], doc.vocab) if doc.text in TREES else doc

    english = spacy.blank("en")
    english.add_pipe("drawn_by_hand")
    return english


@pytest.mark.parametrize("text", TREES)
def test_spacys_tree_reads_as_the_rules_do(text):
    from densevl.tasks.grounding.spacy_parser import tree_of

    assert tree_of(doc_of(TREES[text], spacy.blank("en").vocab)) == parse_expression(text)


def test_the_tree_decides_what_a_relation_belongs_to():
    """With "under the lamp" hung on the cup, it is the cup that is under the lamp; the rules give it to the plate."""
    from densevl.tasks.grounding.spacy_parser import tree_of

    flat = TREES["the cup left of the plate under the lamp"].replace("under:ADP:prep:5", "under:ADP:prep:1")
    tree = tree_of(doc_of(flat, spacy.blank("en").vocab))
    assert str(tree) == "(cup | left (plate) | below (lamp))"


def test_a_grounder_takes_the_parser(grounder, scene, boxes, pipeline):
    from densevl.tasks.grounding.spacy_parser import SpacyParser

    config = {"mask_maker": "grabcut", "template": "{}", "negatives": None}
    spoken = Grounder(grounder.embedders, parser=SpacyParser(pipeline), **config)
    ruled = Grounder(grounder.embedders, **config)
    text = "the star to the left of the blue ring"
    found, expected = (one.refer(scene.image, text, boxes) for one in (spoken, ruled))
    assert found.phrase == expected.phrase
    assert found.probabilities.equal(expected.probabilities)
    assert spoken.protocol["parser"].startswith("spacy:en_pipeline")
    assert ruled.protocol["parser"] == "rules"


def test_what_is_missing_is_named(pipeline, monkeypatch):
    from densevl.tasks.grounding.spacy_parser import SpacyParser

    with pytest.raises(UsageError, match=r"'en_none'.*pip install spacy.*en_core_web_sm"):
        _ = load("mini", device="cpu", mask_maker="grabcut", parser="spacy:en_none").grounder
    with pytest.raises(UsageError, match=r"no dependency parser.*en_core_web_sm"):
        SpacyParser(pipeline)("a text without a tree")
    with pytest.raises(UsageError, match="names nothing"):
        SpacyParser(pipeline)("?!")
    with pytest.raises(UsageError, match=r"English.*'de'"):
        SpacyParser(spacy.blank("de"))
    with pytest.raises(UsageError, match="did you mean spacy"):
        _ = load("mini", device="cpu", mask_maker="grabcut", parser="spaci").grounder
    monkeypatch.delitem(sys.modules, "densevl.tasks.grounding.spacy_parser")
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UsageError, match=r"pip install spacy.*en_core_web_sm"):
        _ = load("mini", device="cpu", mask_maker="grabcut", parser="spacy").grounder
