"""Weights as users name them, opened once: a name of the table, a file, or ``random:SEED`` for none."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from densevl.core.errors import UsageError
from densevl.weights.cache import fetch
from densevl.weights.download import file_sha256
from densevl.weights.state_dicts import load_state_dict, read_metadata
from densevl.weights.table import WeightsEntry, weights_table

__all__ = ["OpenedWeights", "open_weights", "random_seed"]


@dataclass(frozen=True)
class OpenedWeights:
    """A file of weights on this machine.

    Attributes:
        path: the file.
        entry: its row of the weights table; None for a file of the user.
    """

    path: Path
    entry: WeightsEntry | None

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The tensors; nothing in the file is executed.

        Raises:
            WeightsError: where the file is damaged or holds something else.
        """
        return load_state_dict(self.path)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata of the file; empty where it has none."""
        return read_metadata(self.path)

    @cached_property
    def digest(self) -> str:
        """The first twelve digits of the file's sha256, which was checked where the table has it."""
        return ((self.entry and self.entry.sha256) or file_sha256(self.path))[:12]

    def identity(self, kind: str) -> str:
        """The ``model_id`` of an architecture, or of another kind of model, with these weights."""
        return f"{kind}@{self.digest}"


def open_weights(weights: str | Path, offline: bool = False) -> OpenedWeights:
    """Find weights, fetching those that are not here.

    Args:
        weights: a name of the weights table, or a file.
        offline: never reach for the network.

    Raises:
        UsageError: where the name is unknown.
        WeightsError: where the weights are missing or damaged.
    """
    entry = weights_table().get(str(weights))
    return OpenedWeights(fetch(weights if entry is None else entry, offline=offline), entry)


def random_seed(weights: object) -> int | None:
    """The seed of ``random:SEED``, 0 where it is left out; None for weights that are not random.

    Raises:
        UsageError: where the seed is no number.
    """
    kind, _, seed = str(weights).partition(":")
    if kind != "random":
        return None
    if seed and not seed.isdecimal():
        raise UsageError(f"write random weights as random:SEED, such as random:0; got {str(weights)!r}")
    return int(seed or 0)
