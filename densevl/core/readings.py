"""How a text was understood by a model that knows certain words: values that people are told of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from densevl.core.errors import MOST_LISTED, UsageError

__all__ = ["Reading", "Sense", "UnknownWord", "all_unknown"]

SPARSE = 0.01
"""Part of the kinds of a thing below which it is poorly known, as 3 of the 8528 kinds of persons."""


class UnknownWord(UsageError):
    """A text in which no word is known.

    Args:
        message: what the user reads.
        text: that was read.
        near: known words that may help.
    """

    def __init__(self, message: str, text: str, near: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.text, self.near = text, tuple(near)


@dataclass(frozen=True)
class Sense:
    """One meaning of a word.

    Attributes:
        name: by which to ask for it, such as "dog" or "crane (bird)".
        meaning: its definition.
        classes: indices of the classes that it covers, ascending.
        kinds: number of kinds of it that there are in WordNet.
    """

    name: str
    meaning: str
    classes: tuple[int, ...]
    kinds: int = 1

    @property
    def sparse(self) -> bool:
        """Whether hardly any of its kinds are covered."""
        return len(self.classes) < SPARSE * self.kinds


@dataclass(frozen=True)
class Reading:
    """A text with the meaning that was found in it.

    Attributes:
        text: as it was given.
        word: the known word in it.
        sense: the meaning of the word.
        ignored: the words of the text that were not used.
        others: further meanings of the word that cover classes.
        unknown: definitions of what the word means more often, and which covers no class.
        why: what a name of ours, which WordNet does not have, stands for.
    """

    text: str
    word: str
    sense: Sense
    ignored: tuple[str, ...] = ()
    others: tuple[Sense, ...] = ()
    unknown: tuple[str, ...] = ()
    why: str = ""

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the classes that the text asks for, ascending."""
        return self.sense.classes

    @property
    def remarks(self) -> tuple[str, ...]:
        """What one should know of it, in short; empty where the text means what it says."""
        return tuple(self._remarks())

    def _remarks(self) -> Iterator[str]:
        if self.ignored:
            yield f"read as '{self.word}'; {_listed(self.ignored)} not used"
        if self.why:
            yield self.why
        if self.others or self.unknown:
            yield f"taken as '{self.sense.name}': {self.sense.meaning}"
        if self.others:
            yield "; ".join(f"write '{one.name}' for: {one.meaning}" for one in self.others)
        if self.unknown:
            yield f"not known in its more frequent meaning: {self.unknown[0]}"
        if self.sense.sparse:
            yield f"poorly known: {len(self.classes)} of its {self.sense.kinds} kinds"


def all_unknown(errors: Sequence[UnknownWord], asked: int) -> UsageError:
    """One error of several texts that are not known.

    Args:
        errors: of each of them.
        asked: how many texts there were.
    """
    if len(errors) == 1:
        return errors[0]
    named = [f"{e.text!r} (near it: {', '.join(e.near)})" if e.near else repr(e.text) for e in errors[:MOST_LISTED]]
    more = f" and {len(errors) - MOST_LISTED} more" if len(errors) > MOST_LISTED else ""
    which = ", ".join(named) + more
    return UsageError(f"{len(errors)} of {asked} words are not known: {which}; leave them out, or see `densevl words`")


def _listed(words: Sequence[str]) -> str:
    quoted = [f"'{word}'" for word in words]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]} are" if len(quoted) > 1 else f"{quoted[0]} is"
