"""The contract of a lens: what it keeps of each image, and its section of the report."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

__all__ = ["Lens", "Section"]


class Section(NamedTuple):
    """A section of a report.

    Attributes:
        values: for a JSON file: full precision, None where a figure is undefined.
        lines: the same for people.
    """

    values: Mapping[str, Any]
    lines: Sequence[str]


@runtime_checkable
class Lens(Protocol):
    """A further view of the answers that the metric of a benchmark scores; it changes no figure of the metric."""

    @property
    def name(self) -> str:
        """Heading of the section, and key of its values in ``results.json``."""
        ...

    def measure(self, sample: Mapping[str, Any]) -> Any:
        """Keep what the section needs of an image that could be used.

        Args:
            sample: the answered sample as the metric of the task gets it; it must not be changed.

        Returns:
            A small value that can be pickled: those of all images and processes are held together.

        Raises:
            UsageError: where the lens does not know the task.
        """
        ...

    def section(self, found: Sequence[Any], facts: Mapping[str, Any]) -> Section:
        """The section; called on every process.

        Args:
            found: what was kept of each image of all processes, in the order of the data set; one or more.
            facts: of the data set, such as its ``classes``.
        """
        ...
