"""What the parts that a benchmark's config names, model, data set and metric, say of themselves.

A config has a ``model`` (:class:`BenchmarkModel`), a ``test_dataloader`` whose data set is a :class:`BenchmarkDataset`,
and a ``test_evaluator`` (:class:`BenchmarkMetric`). The evaluation needs nothing else of them, so that segmentation,
referring expressions and recognition are run, reported and saved by the same code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel

__all__ = ["BenchmarkDataset", "BenchmarkMetric", "BenchmarkModel", "Scores"]


@runtime_checkable
class Scores(Protocol):
    """Figures of a metric."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file, full precision, None for what cannot be told."""
        ...

    def lines(self) -> list[str]:
        """The figures as people read them, the one that counts last."""
        ...


@runtime_checkable
class BenchmarkDataset(Protocol):
    """What a data set says of itself.

    Attributes:
        title: what reports call it.
        source: where its data lie.
        expected: number of images of the whole benchmark; None where it is not known.
        protocol: what of it decides the figure, such as where proposals come from.
        caveats: why its figures may not be compared with others.
    """

    title: str
    source: str
    expected: int | None
    protocol: Mapping[str, Any]
    caveats: Sequence[str]

    def __len__(self) -> int: ...


@runtime_checkable
class BenchmarkMetric(Protocol):
    """What a metric keeps of its last evaluation.

    Attributes:
        scores: None before the first evaluation.
        failures: path and reason of every image that could not be used.
    """

    scores: Scores | None
    failures: list[tuple[str, str]]


class BenchmarkModel(BaseModel):
    """A model of densevl as MMEngine's runner tests it.

    Attributes:
        name: what reports call it.
        mirrors: whether it can average over an image and its mirror image, with the argument ``flip``.
    """

    name: str = "custom"
    mirrors: bool = False

    def __init__(self) -> None:
        super().__init__(data_preprocessor=BaseDataPreprocessor())

    def prepare(self, dataset: Any) -> None:
        """Learn from the data set what its samples are asked; called once, before the first sample."""

    @property
    def dataset_options(self) -> dict[str, Any]:
        """Arguments of the data set that follow from the model, such as the size of its images."""
        return {}

    @property
    def protocol(self) -> dict[str, Any]:
        """What of the model decides the figure, in the order in which it is printed."""
        return {}

    def hooks(self, out: str | Path | None, show_dir: str | Path | None) -> list[Hook]:
        """What writes the results of each image.

        Args:
            out: folder of results for programs; None for none.
            show_dir: folder of pictures; None for none.
        """
        return []
