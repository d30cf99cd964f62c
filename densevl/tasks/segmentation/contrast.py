"""Words of the contrast that mean no class: synonyms, plurals, kinds, parts and near vectors of a class are left out.

A word that means the same as a class, or a part of it, would take its pixels for the background. It is told by

1. its spelling: a plural, the class without its adjectives ("circle" beside "red circle"), a kind of it that names it
   ("police car" beside "car");
2. ``data/kin.json``: kinds, parts and other names of common words, made by hand;
3. WordNet's nouns that this package has: both cover a common class of ImageNet ("animal" and "dog"), the word without
   an adjective;
4. its vector: a cosine to a class above 0.8, the rule of the paper (Wysoczańska et al.,
   https://arxiv.org/abs/2407.05061).

Differences: the first three rules; and the last one leaves out half of the words at most. Encoders whose texts all lie
near to each other would lose every word by it.
"""

from collections.abc import Mapping
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from densevl.core.files import read_json
from densevl.core.readings import Reading
from densevl.core.vocabulary import DATA, Vocabulary
from densevl.encoders.texts.lexicon import lexicon
from densevl.encoders.texts.phrases import core, key, singulars

__all__ = ["SIMILAR", "apart", "far"]

SIMILAR = 0.8
"""The cosine above which a word is too near to a query."""


def apart(vocabulary: Vocabulary) -> Vocabulary:
    """A vocabulary whose background class has lost the words that mean a class, by what is known of words.

    Args:
        vocabulary: with a background class, whose first name stays.
    """
    name, *words = vocabulary.classes[vocabulary.background]  # type: ignore[index]
    asked = _asked(vocabulary)
    covered = frozenset[int]().union(*(_covers(query) for query in asked))
    other = [word for word in words if not any(_kin(word, query) for query in asked)]
    kept = [word for word in other if not covered & _covers(word, whole=True)]
    return vocabulary.with_background((name, *kept))


def far(words: Float[Tensor, "w d"], classes: Float[Tensor, "q d"], similar: float = SIMILAR) -> Bool[Tensor, " w"]:
    """Whether each word is far from all queries of the classes; so is at least half of them.

    Args:
        words: unit vectors.
        classes: unit vectors of the queries.
        similar: the cosine above which a word is near.
    """
    if not len(words) or not len(classes):
        return torch.ones(len(words), dtype=torch.bool, device=words.device)
    nearest = (words @ classes.mT).amax(1)
    return nearest <= nearest.median().clamp(min=similar)


def _asked(vocabulary: Vocabulary) -> list[str]:
    pairs = zip(vocabulary.queries, vocabulary.query_classes, strict=True)
    return [query for query, owner in pairs if owner != vocabulary.background]


def _kin(word: str, query: str) -> bool:
    """Whether a word is a query in other words, a kind or a part of it, or the query one of the word."""
    own, asked = _singular(word), _singular(query)
    if own == asked[-len(own) :] or asked == own[-len(asked) :]:
        return True
    relatives = _relatives()
    first, second = " ".join(own), " ".join(asked)
    heads = (asked[-1], second)
    return any(first in relatives.get(head, ()) or head in relatives.get(first, ()) for head in heads)


def _singular(text: str) -> tuple[str, ...]:
    """The words of a noun phrase, the last one in the singular where a common word is it."""
    *before, last = core(text) or key(text).split() or [text]
    known = _common()
    return (
        *before,
        next((one for one in (last, *singulars(last, {})) if one in known), last.removesuffix("s") or last),
    )


@cache
def _relatives() -> Mapping[str, frozenset[str]]:
    return {word: frozenset(kin) for word, kin in read_json(DATA / "kin.json")["kin"].items()}


@cache
def _common() -> frozenset[str]:
    """All words that have kin or are some."""
    relatives = _relatives()
    return frozenset(relatives).union(*relatives.values())


@cache
def _covers(text: str, whole: bool = False) -> frozenset[int]:
    """The classes of ImageNet that a text covers; none for a word that is not known.

    Args:
        text: a noun phrase.
        whole: whether every word of it must be known: a "blue circle" is no "red circle".
    """
    (read,) = lexicon().understand([text])
    return frozenset(read.sense.classes) if isinstance(read, Reading) and not (whole and read.ignored) else frozenset()
