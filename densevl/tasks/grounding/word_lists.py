"""The words of place that referring expressions are made of, as ``data/expression_words.json`` lists them."""

import json
import re
from dataclasses import dataclass
from functools import cache

from densevl.weights.table import DATA

__all__ = ["WordLists", "word_lists"]


@dataclass(frozen=True)
class WordLists:
    """Words by what they say.

    Attributes:
        superlatives: kind of each superlative, such as ``"leftmost"``: ``"left"``.
        relations: kind of each relation, such as ``"on top of"``: ``"above"``.
        ordinals: number of each ordinal.
        containers: things in which others are.
        parts: nouns that turn a direction into a place, such as "corner".
        picture: names of the picture itself.
        groups: words for several things, from which a superlative chooses.
        anything: names that say nothing, and are left out of phrases.
        generic: these, and words that fit anything all the same, such as "shape" and "large".
        kept: what looks like a place and is none, such as "tank top".
    """

    superlatives: dict[str, str]
    relations: dict[str, str]
    ordinals: dict[str, int]
    containers: frozenset[str]
    parts: frozenset[str]
    picture: frozenset[str]
    groups: frozenset[str]
    anything: frozenset[str]
    generic: frozenset[str]
    kept: re.Pattern[str]


@cache
def word_lists() -> WordLists:
    """The lists of ``data/expression_words.json``."""
    table = json.loads((DATA / "expression_words.json").read_text(encoding="utf-8"))
    return WordLists(
        superlatives={word: kind for kind, words in table["superlatives"].items() for word in words},
        relations={word: kind for kind, words in table["relations"].items() for word in words},
        ordinals=table["ordinals"],
        containers=frozenset(table["containers"]),
        parts=frozenset(table["parts"]),
        picture=frozenset(table["picture"]),
        groups=frozenset(table["groups"]),
        anything=frozenset(table["anything"]),
        generic=frozenset(table["anything"]) | frozenset(table["generic"]),
        kept=re.compile(rf"\b(?:{'|'.join(table['kept'])})\b"),
    )
