"""The queries of a vocabulary as a model reads them that knows certain words only."""

from collections.abc import Sequence
from dataclasses import dataclass

from densevl.core.errors import MOST_LISTED
from densevl.core.readings import Reading, UnknownWord, all_unknown

__all__ = ["Understood"]


@dataclass(frozen=True)
class Understood:
    """What a model made of the queries of classes.

    Attributes:
        names: of the classes.
        queries: the texts, each with the index of its class.
        read: how each of them was read, or why it was not.
    """

    names: tuple[str, ...]
    queries: tuple[tuple[str, int], ...]
    read: tuple[Reading | UnknownWord, ...]

    @property
    def known(self) -> tuple[tuple[str, int], ...]:
        """The queries that the model knows."""
        return tuple(query for query, one in zip(self.queries, self.read, strict=True) if isinstance(one, Reading))

    @property
    def unknown(self) -> dict[str, UnknownWord]:
        """The classes of which it knows no query, by their names, with what is said of the first one."""
        known = {owner for _, owner in self.known}
        found: dict[str, UnknownWord] = {}
        for (_, owner), one in zip(self.queries, self.read, strict=True):
            if owner not in known and isinstance(one, UnknownWord):
                found.setdefault(self.names[owner], one)
        return found

    @property
    def asked(self) -> int:
        """Number of classes that have a query."""
        return len({owner for _, owner in self.queries})

    @property
    def summary(self) -> str:
        """How many of the names are known, and which are not."""
        unknown = ", ".join(self.unknown)
        return f"knows {self.asked - len(self.unknown)} of {self.asked}" + (f", not {unknown}" if unknown else "")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What one should know of the readings, a line each; empty where every text means what it says."""
        lines = []
        for one in self.read:
            if isinstance(one, Reading) and one.remarks:
                lines.append(f"{one.text!r}: {'; '.join(one.remarks)}")
        return (*lines, *self._unused(), *self._same())

    def check(self) -> None:
        """Refuse classes of which no query is known.

        Raises:
            UsageError: which names all of them, each with the nearest known words.
        """
        if self.unknown:
            raise all_unknown(list(self.unknown.values()), self.asked)

    def check_any(self) -> None:
        """Refuse classes that are all unknown.

        Raises:
            UsageError: where they are.
        """
        if not self.known:
            self.check()

    def _unused(self) -> list[str]:
        """Remarks on unknown queries of classes that have known ones."""
        known = {owner for _, owner in self.known}
        unused: dict[int, list[str]] = {}
        for (text, owner), one in zip(self.queries, self.read, strict=True):
            if owner in known and isinstance(one, UnknownWord):
                unused.setdefault(owner, []).append(text)
        return [
            f"{self.names[owner]!r} is found by its other names; not known: {_listed(texts)}"
            for owner, texts in unused.items()
        ]

    def _same(self) -> list[str]:
        """Remarks on classes that the model cannot tell apart."""
        covered: dict[int, set[int]] = {}
        for (_, owner), one in zip(self.queries, self.read, strict=True):
            if isinstance(one, Reading):
                covered.setdefault(owner, set()).update(one.classes)
        groups: dict[frozenset[int], list[str]] = {}
        for owner, classes in covered.items():
            groups.setdefault(frozenset(classes), []).append(self.names[owner])
        return [f"the same to this model: {_listed(names)}" for names in groups.values() if len(names) > 1]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words[:MOST_LISTED])) + (", …" if len(words) > MOST_LISTED else "")
