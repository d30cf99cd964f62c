"""The contract of a lens: what it asks a model, and what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject

__all__ = ["Finding", "Lens", "Plot", "Table"]


class Plot(NamedTuple):
    """A picture of a finding.

    Attributes:
        name: of its file below ``page/``, without the suffix, such as ``regions-reliability``.
        image: RGB, as the functions of :mod:`densevl.core.drawing` draw it.
        said: what it shows, below it.
    """

    name: str
    image: UInt8[np.ndarray, "H W 3"]
    said: str


class Table(NamedTuple):
    """A table of a finding.

    Attributes:
        title: above it.
        columns: names.
        rows: a value for each column; numbers are printed with three digits behind the point, None as a dash.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]


@dataclass(frozen=True, eq=False)
class Finding:
    """What a lens found.

    Attributes:
        values: for ``check.json``: JSON values only, full precision, None where a figure is undefined.
        lines: the figures of most weight for people; the command prints them, and the page begins with them.
        plots: pictures.
        tables: tables.
    """

    values: Mapping[str, Any]
    lines: Sequence[str]
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()


@runtime_checkable
class Lens(Protocol):
    """A question that a model is asked.

    Its settings are the arguments of its constructor; ``--set NAME.SETTING=VALUE`` changes one.

    Attributes:
        name: as it is registered.
        title: heading of its section.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def gather(self, subject: Subject, source: Source) -> Any:
        """Read or draw the data; called for every lens before any of them examines, and before the model is built.

        Args:
            subject: who will be asked; of it only ``heads``, ``require`` and ``vocabulary`` cost nothing.
            source: where labelled images, captions and scenes come from.

        Returns:
            What :meth:`examine` wants.

        Raises:
            UsageError: where the data or the model lack what the lens needs.
        """
        ...

    def examine(self, subject: Subject, data: Any) -> Finding:
        """Ask.

        Args:
            subject: who is asked.
            data: what :meth:`gather` gave.
        """
        ...
