"""The models that can be loaded by name: the settings of a segmentor, a grounder and an embedder, and their weights."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.weights import WeightsEntry, is_cached, is_offline, weights_entry
from densevl.weights.table import DATA

__all__ = ["ModelEntry", "default_model", "model_entry", "models"]

DEFAULTS = "dinoiser", "maskclip"
"""What is taken where nobody names a model, the best first."""


@dataclass(frozen=True)
class ModelEntry:
    """A model by name.

    Attributes:
        name: what users call it.
        description: what it is, in a line.
        weights: names of the weights that it needs.
        segmentor: arguments of :class:`densevl.Segmentor`; empty where it has none.
        grounder: arguments of :class:`densevl.tasks.grounding.Grounder`; likewise.
        embedder: config of a region embedder, see :data:`densevl.core.registry.REGION_EMBEDDERS`; likewise.
    """

    name: str
    description: str
    weights: tuple[str, ...]
    segmentor: dict[str, Any] = field(default_factory=dict)
    grounder: dict[str, Any] = field(default_factory=dict)
    embedder: dict[str, Any] = field(default_factory=dict)

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


def default_model(offline: bool = False) -> tuple[str, str]:
    """The model that is taken where nobody names one, and why, in words for people.

    It is CLIP-DINOiser, whose weights are fetched where they are not on this machine. Only where the network is not to
    be used, and the weights of MaskCLIP are here and those of CLIP-DINOiser are not, it is MaskCLIP.

    Args:
        offline: never reach for the network; so do ``DENSEVL_OFFLINE=1`` and ``HF_HUB_OFFLINE=1``.
    """
    best, simpler = (_table()[name] for name in DEFAULTS)
    if is_offline(offline) and simpler.cached and not best.cached:
        absent = ", ".join(file.name for file in best.files if not is_cached(file))
        return simpler.name, f"the weights {absent} of {best.name} are not here, and densevl is told to stay offline"
    return best.name, "the default"


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
    return {name: ModelEntry(name, **{**entry, "weights": tuple(entry["weights"])}) for name, entry in entries.items()}
