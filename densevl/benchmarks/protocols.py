"""What the parts that a benchmark's config names, model, data set and metric, say of themselves.

A config has a ``model`` (:class:`BenchmarkModel`), a ``test_dataloader`` whose data set is a :class:`BenchmarkDataset`,
and a ``test_evaluator`` (:class:`BenchmarkMetric`). The evaluation needs nothing else of them, so that segmentation,
referring expressions and recognition are run, reported and saved by the same code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.failures import Failure

__all__ = ["BenchmarkDataset", "BenchmarkMetric", "BenchmarkModel", "Scores", "as_array"]


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
        failures: every image that could not be used.
    """

    scores: Scores | None
    failures: list[Failure]


class BenchmarkModel(BaseModel):
    """A model of densevl as MMEngine's runner tests it.

    It says how a batch is answered (:meth:`answer`).

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

    @torch.inference_mode()
    def forward(self, inputs: Sequence[Tensor], data_samples: Sequence[Any], mode: str = "predict") -> list[Any]:
        """Answer every sample that has a picture; the others, with a ``failure``, are passed on as they are.

        Args:
            inputs: uint8 RGB images (3, H, W), each any size.
            data_samples: what is asked of them.
            mode: ``"predict"``; these models are not trained here.
        """
        if mode != "predict":
            raise UsageError(f"benchmarks only predict; got mode {mode!r}")
        usable = [pair for pair in zip(inputs, data_samples, strict=True) if "failure" not in pair[1]]
        if usable:
            images, samples = zip(*usable, strict=True)
            self.answer(images, samples)
        return list(data_samples)

    def answer(self, images: Sequence[Tensor], samples: Sequence[Any]) -> None:
        """Add to each sample what is found in its image; one image or more."""
        raise NotImplementedError

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


def as_array(image: UInt8[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """An image of a sample as densevl takes images elsewhere."""
    return image.permute(1, 2, 0).contiguous().cpu().numpy()
