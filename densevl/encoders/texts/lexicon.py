"""Words for a model that knows the classes of ImageNet: which of them a text asks for.

The names of the classes and of everything above them in WordNet (Miller, Communications of the ACM 38(11), 1995) are
in ``data/lexicon/wordnet.json.gz``, which ``tools/make_lexicon.py`` makes. Our own names, for what WordNet calls
otherwise, are in ``data/lexicon/names.json``.

A text is read as a noun phrase: of "a photo of a red dog on grass" the noun "dog" counts, which covers 118 classes, and
the rest is named as not used. A word of several meanings has the one that WordNet puts first, the most frequent one, of
those that cover a class; ``crane (bird)`` asks for another.
"""

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from densevl.core.errors import shortened
from densevl.core.files import parse_json, read_json
from densevl.core.readings import Reading, Sense, UnknownWord, all_unknown
from densevl.encoders.texts.phrases import core, describes, key, singulars

__all__ = ["Lexicon", "lexicon", "lexicon_digest", "wordnet_data"]

DATA = Path(__file__).parents[2] / "data" / "lexicon"

WIDEST = 0.5
"""Part of all classes above which a word tells nothing apart: "object" covers 958 of 1000, "artifact" 522."""

Beyond = Callable[[Sequence[str]], Sequence[int]]
"""From the words of a text that is not known to the classes that may stand for it, such as
:class:`densevl.encoders.texts.word_vectors.WordVectors`."""

NEAREST = 100
"""Classes that a word may cover to be named as near to an unknown one."""


@dataclass(frozen=True)
class Synset:
    """Words of one meaning.

    Attributes:
        names: as WordNet writes them.
        above: names of it and of everything above it, the nearest first, as :func:`key` gives them.
        meaning: its definition.
        kinds: number of kinds of it in WordNet.
        classes: indices of the classes that it covers, ascending.
    """

    names: tuple[str, ...]
    above: tuple[str, ...]
    meaning: str
    kinds: int
    classes: tuple[int, ...]

    def fits(self, label: str) -> bool:
        """Whether a text names it, something above it, or stands in its definition."""
        wanted = key(label)
        return wanted in self.above or f" {wanted} " in f" {key(self.meaning)} "


class Lexicon:
    """The words that cover classes.

    Args:
        wordnet: what :func:`densevl.datasets.converters.wordnet.lexicon_data` gives.
        own: what ``data/lexicon/names.json`` holds: ``names``, of each the names in WordNet that it stands for and why;
            and ``labels``, words that tell meanings apart, the clearest first.

    Attributes:
        classes: first name of each class.
        synonyms: all names of each class.
    """

    def __init__(self, wordnet: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        self._synsets = _synsets(wordnet)
        self.synonyms = tuple(self._synsets[place].names for place in wordnet["classes"])
        self.classes = tuple(names[0] for names in self.synonyms)
        self._senses: dict[str, list[int | str]] = {key(name): senses for name, senses in wordnet["senses"].items()}
        self._relatives: Mapping[str, int] = wordnet["kin"]
        self._plurals: dict[str, str] = wordnet["plurals"]
        self._labels: list[str] = own["labels"]
        self._own: dict[str, Mapping[str, Any]] = {key(name): entry for name, entry in own["names"].items()}

    def read(self, text: str, beyond: Beyond | None = None) -> Reading:
        """The meaning of a text.

        Args:
            text: a name or a phrase.
            beyond: gives classes for words that are not known, or none.

        Raises:
            UnknownWord: where its noun covers no class, or so many that it tells nothing apart.
        """
        base, asked = _in_brackets(text)
        try:
            word, before, behind = self._noun(text, base)
        except UnknownWord:
            guessed = () if beyond is None else beyond(core(base))
            if not guessed:
                raise
            return self._guess(text, guessed)
        unknown, meanings = self._meanings(word)
        if not meanings:
            raise UnknownWord(f"{shortened(text)!r} is not known: {self._own[word]['why']}", text)
        if asked is not None:
            fitting = [one for one in meanings if one.fits(asked)]
            if len(fitting) != 1:
                offered = " and ".join(f"'{self._sense(word, one, meanings).name}'" for one in meanings)
                raise UnknownWord(f"{text!r} is no meaning of {word!r} that is known; there is {offered}", text)
            chosen = fitting[0]
        else:
            told = [one for one in meanings if any(token in one.above for token in before)]
            chosen = told[0] if len(told) == 1 < len(meanings) else meanings[0]
        clear = asked is not None or chosen is not meanings[0]
        ignored = [token for token in before if not (len(meanings) > 1 and token in chosen.above)]
        return Reading(
            text,
            word,
            self._narrow(text, self._sense(word, chosen, meanings)),
            (*ignored, *behind),
            () if clear else tuple(self._sense(word, one, meanings) for one in meanings if one is not chosen),
            () if clear else tuple(unknown),
            str(self._own[word]["why"]) if word in self._own else "",
        )

    def understand(self, texts: Sequence[str], beyond: Beyond | None = None) -> tuple[Reading | UnknownWord, ...]:
        """The meanings of several texts, or why they have none; see :meth:`read`."""
        found: list[Reading | UnknownWord] = []
        for text in texts:
            try:
                found.append(self.read(text, beyond))
            except UnknownWord as error:
                found.append(error)
        return tuple(found)

    def read_all(self, texts: Sequence[str], beyond: Beyond | None = None) -> tuple[Reading, ...]:
        """The meanings of several texts; see :meth:`read`.

        Raises:
            UsageError: which names all texts that are not known.
        """
        found = self.understand(texts, beyond)
        if unknown := [one for one in found if isinstance(one, UnknownWord)]:
            raise all_unknown(unknown, len(texts))
        return tuple(one for one in found if isinstance(one, Reading))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words that :meth:`read` knows, in the order of the alphabet."""
        meanings = {name: self._meanings(name)[1] for name in (*self._senses, *self._own)}
        return tuple(sorted(name for name, all_ in meanings.items() if all_ and self._is_narrow(all_[0].classes)))

    @cached_property
    def _kin(self) -> dict[str, int]:
        """The nearest synset that covers classes of each noun that covers none; -1 for none."""
        return {key(name): place for name, place in self._relatives.items()}

    @cached_property
    def widest(self) -> tuple[Reading, ...]:
        """The readings of one word for each meaning, those that cover most classes first."""
        first = {key(one.names[0]): None for one in sorted(self._synsets, key=lambda one: -len(one.classes))}
        known = frozenset(self.words)
        return tuple(self.read(word) for word in first if word in known)

    def starting(self, prefix: str) -> tuple[Reading, ...]:
        """The readings of all words that start so."""
        return tuple(self.read(word) for word in self.words if word.startswith(key(prefix)))

    def _guess(self, text: str, classes: Sequence[int]) -> Reading:
        """A text that is not known as the classes that stand for it."""
        near = ", ".join(self.classes[index] for index in classes)
        sense = Sense(key(text), f"near it: {near}", tuple(sorted(classes)))
        return Reading(text, key(text), sense, why=f"not known; guessed by its nearest in word vectors: {near}")

    def _noun(self, text: str, base: str) -> tuple[str, list[str], list[str]]:
        """The known name that is the noun of a text, and the words before it and behind it.

        Raises:
            UnknownWord: where there is none, or another noun stands behind it.
        """
        whole = self._known(key(base).split())
        if whole is not None:
            return whole, [], []
        tokens = core(base)
        for end in range(len(tokens), 0, -1):
            for start in range(end):
                name = self._known(tokens[start:end])
                if name is not None:
                    return name, tokens[:start], tokens[end:]
                if self._is_another(tokens[start:end]):
                    raise self._unknown(text, tokens[start:end])
            if not describes(tokens[end - 1]):
                raise self._unknown(text, tokens[:end])
        raise self._unknown(text, tokens)

    def _is_another(self, tokens: Sequence[str]) -> bool:
        """Whether tokens are a name together that its last word does not cover: "prairie dog", and not "blue cat"."""
        *first, _ = tokens
        return not all(map(describes, first)) and self._spelled(tokens, self._kin) is not None

    def _known(self, tokens: Sequence[str]) -> str | None:
        return self._spelled(tokens, self._own) or self._spelled(tokens, self._senses)

    def _spelled(self, tokens: Sequence[str], names: Mapping[str, Any]) -> str | None:
        """The name that tokens spell, in the singular or the plural, in one word or in several."""
        if not tokens:
            return None
        *first, last = tokens
        endings = (last, *singulars(last, self._plurals))
        spellings = (joint.join([*first, ending]) for ending in endings for joint in (" ", ""))
        return next((name for name in spellings if name in names), None)

    def _meanings(self, word: str) -> tuple[list[str], list[Synset]]:
        """What a known name means more often and covers no class, and the meanings that do."""
        if word not in self._own:
            return [one for one in self._senses[word] if isinstance(one, str)], self._in_wordnet(word)
        parts = []
        for name in self._own[word]["for"]:
            base, asked = _in_brackets(name)
            parts += [one for one in self._in_wordnet(key(base)) if asked is None or one.fits(asked)][:1]
        return [], [_together(word, parts)] if parts else []

    def _in_wordnet(self, word: str) -> list[Synset]:
        """The meanings of a name in WordNet that cover classes; of those that share classes the widest is kept."""
        kept: list[Synset] = []
        for meaning in (self._synsets[one] for one in self._senses[word] if isinstance(one, int)):
            same = next((i for i, one in enumerate(kept) if set(one.classes) & set(meaning.classes)), None)
            if same is None:
                kept.append(meaning)
            elif len(meaning.classes) > len(kept[same].classes):
                kept[same] = meaning
        return kept

    def _sense(self, word: str, meaning: Synset, meanings: Sequence[Synset]) -> Sense:
        """A meaning with the name by which to ask for it, which fits no other meaning of the word."""
        name = word
        if len(meanings) > 1:
            others = [one for one in meanings if one is not meaning]
            label = next(one for one in self._labels_of(meaning) if not any(other.fits(one) for other in others))
            name = f"{word} ({label})"
        return Sense(name, meaning.meaning, meaning.classes, meaning.kinds)

    def _labels_of(self, meaning: Synset) -> Iterator[str]:
        """Words that tell a meaning from others, the clearest first."""
        yield from (label for label in self._labels if label in meaning.above)
        yield from meaning.above
        words = key(meaning.meaning).split()
        yield from (" ".join(words[:count]) for count in range(3, len(words) + 1))

    def _is_narrow(self, classes: Sequence[int]) -> bool:
        return len(classes) <= WIDEST * len(self.classes)

    def _narrow(self, text: str, sense: Sense) -> Sense:
        """The sense, unless it covers nearly everything.

        Raises:
            UnknownWord: where it does.
        """
        if self._is_narrow(sense.classes):
            return sense
        raise UnknownWord(
            f"{text!r} covers {len(sense.classes)} of the {len(self.classes)} classes that are known and tells nothing "
            "apart; ask for something narrower, such as animal, vehicle or furniture",
            text,
        )

    def _unknown(self, text: str, tokens: Sequence[str]) -> UnknownWord:
        """The error of a text whose noun is unknown, with words near it by meaning; where it is none, by spelling."""
        kin = self._spelled(tokens, self._kin) or self._spelled(tokens[-1:], self._kin)
        if kin is None:
            near = get_close_matches(" ".join(tokens), self.words, n=3, cutoff=0.8)
        else:
            above = None if self._kin[kin] < 0 else self._synsets[self._kin[kin]]
            near = [above.names[0]] if above is not None and len(above.classes) <= NEAREST else []
        hint = f"near it: {', '.join(near)}" if near else "`densevl words` lists the words that are"
        return UnknownWord(f"{shortened(text)!r} is not known to a model of ImageNet's classes; {hint}", text, near)


@cache
def lexicon() -> Lexicon:
    """The lexicon of ImageNet's 1000 classes, in the order in which timm and torchvision have them."""
    return Lexicon(wordnet_data(), read_json(DATA / "names.json"))


@cache
def lexicon_digest() -> str:
    """The beginning of the SHA-256 of the data, which decide what a text means."""
    files = (DATA / name for name in ("wordnet.json.gz", "names.json"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def wordnet_data() -> Any:
    """What is shipped of WordNet."""
    with gzip.open(DATA / "wordnet.json.gz", "rt", encoding="utf-8") as file:
        return parse_json(file.read())


def _synsets(wordnet: Mapping[str, Any]) -> list[Synset]:
    """The synsets of the data, each with what is above it and with its classes."""
    rows = wordnet["synsets"]
    upwards = [_upwards(place, [row[1] for row in rows]) for place in range(len(rows))]
    classes: list[list[int]] = [[] for _ in rows]
    for index, place in enumerate(wordnet["classes"]):
        for one in upwards[place]:
            classes[one].append(index)
    keys = [[key(name) for name in row[0]] for row in rows]
    above = [tuple(dict.fromkeys(name for one in places for name in keys[one])) for places in upwards]
    return [
        Synset(tuple(names), above[place], meaning, kinds, tuple(classes[place]))
        for place, (names, _, meaning, _, kinds) in enumerate(rows)
    ]


def _upwards(place: int, above: Sequence[Sequence[int]]) -> list[int]:
    """A synset and all above it, the nearest first."""
    found = [place]
    for one in found:
        found += [other for other in above[one] if other not in found]
    return found


def _together(word: str, parts: Sequence[Synset]) -> Synset:
    """Several synsets under one name."""
    if len(parts) == 1:
        return parts[0]
    above = tuple(dict.fromkeys(name for one in parts for name in one.above))
    classes = tuple(sorted({index for one in parts for index in one.classes}))
    meaning = "; ".join(f"{one.names[0]}: {one.meaning}" for one in parts)
    return Synset((word,), above, meaning, sum(one.kinds for one in parts), classes)


def _in_brackets(text: str) -> tuple[str, str | None]:
    """A text, and what stands in brackets at its end."""
    match = re.fullmatch(r"(.*\S)\s*\(([^()]*\w[^()]*)\)\s*", text.strip())
    return (text, None) if match is None else (match[1], match[2])
