"""The models that can be loaded by name: a segmentor's settings and the weights that it needs."""

import json
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from densevl.errors import UsageError
from densevl.weights import WeightsEntry, is_cached, weights_entry
from densevl.weights.table import DATA
from densevl.wording import suggestion

__all__ = ["ModelEntry", "model_entry", "models"]


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Attributes:
        name: what users call it.
        description: what it is, in a line.
        weights: names of the weights that it needs.
        segmentor: arguments of :class:`densevl.Segmentor`.
    """

    name: str
    description: str
    weights: tuple[str, ...]
    segmentor: dict[str, Any]

    @property
    def files(self) -> tuple[WeightsEntry, ...]:
        """The weights that it needs."""
        return tuple(map(weights_entry, self.weights))

    @property
    def cached(self) -> bool:
        """Whether all its weights are on this machine."""
        return all(map(is_cached, self.files))

    @property
    def size(self) -> int:
        """Bytes of its weights; where a file's size is not known, four for each parameter."""
        return sum(entry.bytes for entry in self.files)

    @property
    def licence(self) -> str:
        """Licences of its weights."""
        return ", ".join(dict.fromkeys(entry.licence for entry in self.files))


def models() -> dict[str, ModelEntry]:
    """All models by name."""
    return deepcopy(_table())


def model_entry(name: str) -> ModelEntry:
    """The model of a name.

    Raises:
        UsageError: where there is none.
    """
    if name not in _table():
        raise UsageError(f"model {name!r} is unknown; {suggestion(name, _table())}")
    return deepcopy(_table()[name])


@cache
def _table() -> dict[str, ModelEntry]:
    entries = json.loads((DATA / "models.json").read_text(encoding="utf-8"))
    return {
        name: ModelEntry(name, entry["description"], tuple(entry["weights"]), entry["segmentor"])
        for name, entry in entries.items()
    }
