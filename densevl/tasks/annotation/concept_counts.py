"""How many captions name each concept.

Source of the idea: Udandarao et al., NeurIPS 2024, https://arxiv.org/abs/2404.04125, who count the captions that hold
the lemma of a concept and whose image a tagger finds it in. Ours: the captions alone, since the images of a training
are seldom at hand. A concept of several words must stand in a caption as it is, in the singular or the plural, and no
noun may stand right behind it: "an orange shirt" names no orange, and "cat food" no cat. A caption counts once for a
concept, however often and by whichever of its names it is named.
"""

from collections import Counter
from collections.abc import Iterable

from tqdm import tqdm

from densevl.core.vocabulary import Vocabulary
from densevl.tasks.annotation.noun_phrases import Tagged, Tagger
from densevl.tasks.annotation.rule_tagger import rule_tags
from densevl.tasks.grounding.nouns import singular
from densevl.tasks.grounding.word_lists import word_lists

__all__ = ["count_concepts"]

Key = tuple[str, ...]


def count_concepts(captions: Iterable[str], vocabulary: Vocabulary, tagger: Tagger = rule_tags) -> list[int]:
    """Number of captions that name each class.

    Args:
        captions: one a picture.
        vocabulary: classes with their synonyms.
        tagger: from a text to its words and Penn Treebank tags.
    """
    names = [_key(word for word, _ in tagger(query)) for query in vocabulary.queries]
    longest = max(map(len, names), default=0)
    found: Counter[int] = Counter()
    for caption in tqdm(captions, desc="captions", delay=2, disable=None):
        parts = _parts(tagger(caption), longest)
        found.update({owner for key, owner in zip(names, vocabulary.query_classes, strict=True) if key in parts})
    return [found[index] for index in range(len(vocabulary))]


def _parts(tagged: Tagged, longest: int) -> set[Key]:
    """The runs of words of a caption that no noun follows."""
    words = _key(word for word, _ in tagged)
    ends = [stop for stop in range(1, len(words) + 1) if stop == len(words) or not tagged[stop][1].startswith("NN")]
    return {words[start:stop] for stop in ends for start in range(max(stop - longest, 0), stop)}


def _key(words: Iterable[str]) -> Key:
    """The words in lower case, in the singular."""
    lists = word_lists()
    return tuple(singular(word, lists) or word for word in map(str.lower, words))
