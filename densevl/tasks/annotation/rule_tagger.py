"""Parts of speech of captions by lists and rules: needs no model and no download.

A word has the tag of the list that it is in (``data/tagger_words.json``), else that of its ending; words that may be
several things are then decided by their neighbours, in one pass from the left, in the manner of Brill (A simple
rule-based part of speech tagger, ANLP 1992), with lists and rules of our own. What is left is a noun. It is made for
noun phrases of captions: among verbs, adverbs and particles it tells apart no more than these need.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from densevl.weights.table import DATA

__all__ = ["rule_tags", "tag_words"]

WORD = re.compile(r"[^\W\d_]+(?:[-.'’](?=[^\W\d_])[^\W\d_]+)*|\d+(?:[.,:]\d+)*(?:[a-z]{2})?|[^\w\s]")
POSSESSIVE = re.compile(r"(.+)(['’]s)", re.IGNORECASE)

BEFORE_NOUNS = frozenset({"DT", "JJ", "PRP$", "POS", "CD", "IN", "CC", ",", "^"})
"""What may stand before a noun phrase or in it, the beginning of the text included."""

NOT_AFTER = frozenset({"DT", "JJ", "PRP$", "POS"})
"""Behind these a word that may be a verb or a noun is a noun."""


def rule_tags(text: str) -> list[tuple[str, str]]:
    """The words of a text and their Penn Treebank tags; punctuation is its own tag."""
    words: list[str] = []
    for word in WORD.findall(text):
        possessive = POSSESSIVE.fullmatch(word)
        words += possessive.groups() if possessive else [word]
    return list(zip(words, tag_words(words), strict=True))


def tag_words(words: Sequence[str]) -> list[str]:
    """The tag of each word, in the order of a text."""
    lists = _lists()
    tags: list[str] = []
    for i, word in enumerate(words):
        following = lists.first_guess(words[i + 1], False) if i + 1 < len(words) else "$"
        tags.append(_decide(word, tags[-1] if tags else "^", following, lists, i == 0))
    return tags


def _decide(word: str, before: str, following: str, lists: "_Lists", first: bool) -> str:
    low, guess = word.lower(), lists.first_guess(word, first)
    inside = before in NOT_AFTER and following[:2] in ("NN", "JJ", "VB")
    if low in ("'s", "’s"):
        return "POS" if before.startswith("NN") else "VBZ"
    if low == "that" and before.startswith("NN"):
        return "WDT"
    if low in ("left", "right") and before not in NOT_AFTER:
        return "RB" if following[:2] != "NN" else "JJ"
    if guess == "RB" and low in lists.adjectives and following[:2] == "NN":
        return "JJ"
    if low in lists.verbs and low not in lists.closed and guess in ("NN", "JJ"):
        return _verb_or_noun(guess, before, following, f"{low}s" in lists.verbs_first)
    if guess == "VBZ" and low in lists.verbs_first:
        return "NNS" if before in {*NOT_AFTER, "IN", "VBG"} else "VBZ"
    if guess == "VBG" and low in lists.gerund_nouns:
        return "NN" if following[:2] == "NN" or before in BEFORE_NOUNS else "VBG"
    if guess == "VBN":
        return "JJ" if (inside or before in ("^", "CC", ",", "IN", "CD")) and following[:2] in ("NN", "JJ") else "VBN"
    if low == "orange" and before == "DT" and following[:3] not in ("NN", "NNS", "NNP", "JJ", "VBN", "VBG", "CC"):
        return "NN"
    return guess


def _verb_or_noun(guess: str, before: str, following: str, mostly_verb: bool) -> str:
    """A word such as "ride": a verb behind "to", a modal, a pronoun or several things that do it, else a noun."""
    if before in ("TO", "MD", "PRP", "WDT"):
        return "VB"
    if before == "NNS" and (mostly_verb or following in ("DT", "IN", "RB", "PRP$", "TO", "JJ", "PRP")):
        return "VBP"
    return "JJ" if guess == "JJ" else "NN"


@dataclass(frozen=True)
class _Lists:
    closed: dict[str, str]
    adjectives: frozenset[str]
    verbs: frozenset[str]
    verbs_first: frozenset[str]
    gerund_nouns: frozenset[str]
    exceptions: dict[str, str]
    suffixes: dict[str, str]

    def first_guess(self, word: str, first: bool) -> str:
        """The tag of a word by itself."""
        low = word.lower()
        if not word[0].isalpha():
            return self.closed.get(low, "CD" if word[0].isdigit() else word)
        if low in self.closed:
            return self.closed[low]
        if low in self.adjectives:
            return "JJ"
        if low in self.exceptions:
            return self.exceptions[low]
        if low in self.verbs_first:
            return "VBZ"
        if word[0].isupper() and not first:
            return "NNP"
        return self._by_ending(low)

    def _by_ending(self, low: str) -> str:
        if low.endswith("ing") and len(low) > 4:
            return "VBG"
        if low.endswith("ly"):
            return "RB"
        for suffix, tag in self.suffixes.items():
            if low.endswith(suffix) and len(low) > len(suffix) + 1:
                return tag
        if low.endswith("ed") and len(low) > 4:
            return "JJ" if "-" in low else "VBN"
        return "NNS" if low.endswith("s") and not low.endswith(("ss", "us", "is")) else "NN"


@cache
def _lists() -> _Lists:
    table = json.loads((DATA / "tagger_words.json").read_text(encoding="utf-8"))
    named = {
        "plurals": "NNS",
        "nouns_in_ing": "NN",
        "nouns_in_ed": "NN",
        "nouns_in_ly": "NN",
        "adjectives_in_ly": "JJ",
        "nouns_in_s": "NN",
    }
    return _Lists(
        closed={word: tag for tag, words in table["closed"].items() for word in words.split()},
        adjectives=frozenset(table["adjectives"].split()),
        verbs=frozenset(table["verbs"].split()),
        verbs_first=frozenset(table["verbs_first"].split()),
        gerund_nouns=frozenset(table["gerund_nouns"].split()),
        exceptions={word: tag for name, tag in named.items() for word in table[name].split()},
        suffixes=table["suffixes"],
    )
