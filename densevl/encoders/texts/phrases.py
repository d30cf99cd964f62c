"""The noun of a short text: what stands before it and behind it is told apart by lists of English words.

The lists are those of the tagger (``data/tagger_words.json``) and of noun phrases (``data/phrase_words.json``).
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from densevl.core.files import read_json

__all__ = ["core", "describes", "key", "singulars"]

DATA = Path(__file__).parents[2] / "data"

ENDINGS: Mapping[str, str] = {
    "s": "",
    "ses": "s",
    "ves": "f",
    "xes": "x",
    "zes": "z",
    "ches": "ch",
    "shes": "sh",
    "men": "man",
    "ies": "y",
}
"""Regular plurals, in the order in which WordNet's morphy(7) undoes them."""


def key(text: str) -> str:
    """A text without case, punctuation and superfluous spaces, the same for "Jack-o'-lantern" and "jack o lantern"."""
    return " ".join(re.sub(r"[\W_]+", " ", re.sub(r"['’.]", "", text.casefold())).split())


def core(text: str) -> list[str]:
    """The words of a noun phrase up to its first preposition, without articles.

    What is shown, counted or grouped comes behind its "of": "a photo of a red dog on grass", "a bunch of bananas".
    """
    articles, groups, prepositions = _lists()
    words = key(text).split()
    while "of" in words[:-1] and any(word in groups for word in words[: words.index("of")][-1:]):
        words = words[words.index("of") + 1 :]
    words = [word for word in words if word not in articles] or words
    end = next((i for i, word in enumerate(words) if i and word in prepositions), len(words))
    return words[:end]


def describes(word: str) -> bool:
    """Whether a word says something of a noun, before it or behind it: "red dog", "dog running"."""
    words, nouns = _describing()
    return word in words or (word.endswith(("ing", "ed")) and word not in nouns) or word.isdigit()


def singulars(word: str, irregular: Mapping[str, str]) -> Iterator[str]:
    """What a word may be the plural of."""
    if word in irregular:
        yield irregular[word]
    yield from (
        word[: -len(end)] + start for end, start in ENDINGS.items() if word.endswith(end) and len(word) > len(end) + 1
    )


@cache
def _lists() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    closed = read_json(DATA / "tagger_words.json")["closed"]
    phrases = read_json(DATA / "phrase_words.json")
    articles = {*closed["DT"].split(), *closed["PRP$"].split()}
    return frozenset(articles), frozenset(phrases["generic"]), frozenset(closed["IN"].split())


@cache
def _describing() -> tuple[frozenset[str], frozenset[str]]:
    tagger = read_json(DATA / "tagger_words.json")
    closed = " ".join(tagger["closed"][tag] for tag in ("RB", "CD", "VBZ", "VBP", "VBG", "VBN"))
    words = f"{closed} {tagger['adjectives']} {tagger['verbs_first']}".split()
    return frozenset(words), frozenset(
        f"{tagger['nouns_in_ing']} {tagger['nouns_in_ed']} {tagger['gerund_nouns']}".split()
    )
