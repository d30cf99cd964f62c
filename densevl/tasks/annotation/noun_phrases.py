"""Noun phrases of a caption: the texts that a detector then looks for.

As VESL of CLOC (Chen et al., https://arxiv.org/abs/2410.02746): parts of speech, the chunk grammar ``NP:
{<DT>?<JJ.*>*<NN.*>+}``, without stop words and generic words, at most 20 an image. What the paper leaves open: the
lists of words (``data/phrase_words.json``); stop words are taken off both ends of a phrase, and a phrase goes where
nothing but generic words ("a picture", "the left side") is left; the same phrase comes once.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from densevl.core.vocabulary import normalised
from densevl.weights.table import DATA

__all__ = ["MOST_PHRASES", "Tagged", "Tagger", "chunks", "noun_phrases", "phrase_words"]

Tagged = Sequence[tuple[str, str]]
"""Words and their Penn Treebank tags, in the order of the text."""

Tagger = Callable[[str], Tagged]

MOST_PHRASES = 20
"""Phrases of an image, as in the paper."""


def chunks(tags: Iterable[str]) -> list[tuple[int, int]]:
    """First word of each noun phrase and the one behind its last: ``<DT>?<JJ.*>*<NN.*>+``, the longest from the left.

    Args:
        tags: Penn Treebank tags of the words.
    """
    letters = "".join("D" if tag == "DT" else tag[0] if tag[:2] in ("JJ", "NN") else "." for tag in tags)
    return [match.span() for match in re.finditer(r"D?J*N+", letters)]


def noun_phrases(captions: str | Iterable[str], tagger: Tagger, most: int = MOST_PHRASES) -> tuple[str, ...]:
    """The noun phrases of the captions of one image, in lower case, each once, in the order of the text.

    Args:
        captions: one caption or several.
        tagger: from a text to its words and Penn Treebank tags.
        most: how many at most.
    """
    words = phrase_words()
    found: dict[str, None] = {}
    for caption in [captions] if isinstance(captions, str) else captions:
        tagged = tagger(caption)
        for start, stop in chunks(tag for _, tag in tagged):
            phrase = _stripped([normalised(word) for word, _ in tagged[start:stop]], words.stop)
            if not set(phrase) <= words.stop | words.generic:
                found.setdefault(" ".join(phrase))
    return tuple(found)[:most]


def _stripped(words: list[str], stop: frozenset[str]) -> list[str]:
    while words and words[0] in stop:
        words = words[1:]
    while words and words[-1] in stop:
        words = words[:-1]
    return words


@dataclass(frozen=True)
class PhraseWords:
    """Words that do not name a thing.

    Attributes:
        stop: words without a meaning of their own, such as "the" and "each".
        generic: words that fit anything, such as "image", "side" and "group".
    """

    stop: frozenset[str]
    generic: frozenset[str]


@cache
def phrase_words() -> PhraseWords:
    """The lists of ``data/phrase_words.json``."""
    table = json.loads((DATA / "phrase_words.json").read_text(encoding="utf-8"))
    return PhraseWords(frozenset(table["stop"]), frozenset(table["generic"]))
