"""The tree of a referring expression: phrases, and their superlatives and relations to other phrases."""

import re
from dataclasses import dataclass, replace

from densevl.tasks.grounding.word_lists import word_lists

__all__ = ["Phrase", "Relation", "Superlative"]


@dataclass(frozen=True)
class Superlative:
    """A place among the others that fit the same words.

    Attributes:
        kind: ``left``, ``right``, ``above`` (highest), ``below``, ``bigger`` (largest), ``smaller``, ``taller``,
            ``shorter``, ``wider``, ``narrower`` or ``middle``.
        order: 1 for the first from there, 2 for the second, and so on.
    """

    kind: str
    order: int = 1

    def __str__(self) -> str:
        return f"most {self.kind}" if self.order == 1 else f"{self.order}. from {self.kind}"


@dataclass(frozen=True)
class Relation:
    """A relation of a thing to others.

    Attributes:
        kind: ``left``, ``right``, ``above``, ``below``, ``bigger``, ``smaller``, ``taller``, ``shorter``, ``wider``,
            ``narrower``, ``inside``, ``near``, ``far`` or ``between``.
        landmarks: what it lies so to: two phrases for ``between``, else one.
    """

    kind: str
    landmarks: "tuple[Phrase, ...]"

    def __str__(self) -> str:
        return f"{self.kind} {' and '.join(map(str, self.landmarks))}"


@dataclass(frozen=True)
class Phrase:
    """A thing as an expression describes it.

    Attributes:
        text: the words that an image-text model can judge; empty where they name nothing in particular ("the one").
        superlatives: its places among its like, in the order in which they are written.
        relations: its relations to other things, in the order of the words.
        count: how many things are meant; None for all that suit, as "all dogs" and "dogs" say.
        not_understood: what boxes do not decide, in the order of the words: "behind the sofa", "facing left". It is
            among the words of ``text``, or of a landmark's, so that the image-text model alone judges it. Of the whole
            expression: the phrases of landmarks have none of their own.
    """

    text: str
    superlatives: tuple[Superlative, ...] = ()
    relations: tuple[Relation, ...] = ()
    count: int | None = 1
    not_understood: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [*map(str, self.superlatives), *map(str, self.relations)]
        if self.count != 1:
            parts.append(f"{self.count or 'all'} of them")
        return f"({self.text or 'anything'}{''.join(f' | {part}' for part in parts)})"

    @property
    def simple(self) -> bool:
        """True where there is neither a superlative nor a relation."""
        return not self.superlatives and not self.relations

    @property
    def generic(self) -> bool:
        """True where the text fits anything in any image, as "large shape" does; such words cannot be amiss."""
        return set(re.findall(r"\w+", self.text)) <= word_lists().generic

    @property
    def specific(self) -> "Phrase":
        """The phrase, and its landmarks, without texts that fit anything in any image."""
        relations = tuple(
            replace(relation, landmarks=tuple(mark.specific for mark in relation.landmarks))
            for relation in self.relations
        )
        return replace(self, text="" if self.generic else self.text, relations=relations)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the phrase and its landmarks, each once, none empty."""
        below = (text for relation in self.relations for mark in relation.landmarks for text in mark.texts)
        return tuple(dict.fromkeys(text for text in (self.text, *below) if text))
