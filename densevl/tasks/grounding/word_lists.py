"""The words of place that referring expressions are made of, as ``data/expression_words.json`` lists them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from densevl.weights.table import DATA

__all__ = ["Unread", "WordLists", "word_lists"]


@dataclass(frozen=True)
class Unread:
    """Patterns of what boxes and words do not decide.

    Attributes:
        to_a_thing: what comes before a thing, such as "behind" and "looking at".
        negation: what denies the words behind it.
        alone: what says something by itself, such as "older" and "in the background".
    """

    to_a_thing: tuple[str, ...] = ()
    negation: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordLists:
    """Words by what they say; those from ``counts`` on are empty for the parser ``reclip``.

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
        counts: how many things a word means; None for all of them.
        openings: what asks for the thing, such as "where is".
        observers: what no box shows, such as "me" in "closest to me".
        agents: participles whose "by" names who does it, such as "held".
        irregular: singular of each noun whose plural follows no rule.
        singular: nouns in "s" that mean one thing, such as "jeans".
        unread: patterns of what is not understood.
    """

    superlatives: Mapping[str, str]
    relations: Mapping[str, str]
    ordinals: Mapping[str, int]
    containers: frozenset[str]
    parts: frozenset[str]
    picture: frozenset[str]
    groups: frozenset[str]
    anything: frozenset[str]
    generic: frozenset[str]
    kept: re.Pattern[str]
    counts: Mapping[str, int | None]
    openings: frozenset[str]
    observers: frozenset[str]
    agents: frozenset[str]
    irregular: Mapping[str, str]
    singular: frozenset[str]
    unread: Unread


@cache
def word_lists(parser: str = "rules") -> WordLists:
    """The lists of ``data/expression_words.json``.

    Args:
        parser: ``"reclip"`` for ReCLIP's relations and superlatives, or ``"rules"`` for all that is understood.
    """
    table: dict[str, Any] = json.loads((DATA / "expression_words.json").read_text(encoding="utf-8"))
    own: dict[str, Any] = table[parser]
    unread = {name: tuple(patterns) for name, patterns in own.get("unread", {}).items()}
    sets = {name: frozenset(table[name]) for name in ("containers", "parts", "picture", "groups", "anything")}
    more = {name: frozenset(own.get(name, ())) for name in ("openings", "observers", "agents", "singular")}
    return WordLists(
        superlatives=_kinds(table["superlatives"], own.get("superlatives", {})),
        relations=_kinds(table["relations"], own.get("relations", {})),
        ordinals=table["ordinals"],
        **sets,
        generic=sets["anything"] | frozenset(table["generic"]),
        kept=re.compile(rf"\b(?:{'|'.join([*table['kept'], *own.get('kept', ())])})\b"),
        counts=own.get("counts", {}),
        **more,
        irregular=own.get("irregular", {}),
        unread=Unread(**unread),
    )


def _kinds(*tables: Mapping[str, list[str]]) -> dict[str, str]:
    return {word: kind for table in tables for kind, words in table.items() for word in words}
