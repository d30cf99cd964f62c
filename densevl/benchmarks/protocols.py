"""The contracts of model, data set and metric of a benchmark.

A config has a ``model`` (:class:`BenchmarkModel`), a ``test_dataloader`` whose data set is a :class:`BenchmarkDataset`,
and a ``test_evaluator`` (:class:`BenchmarkMetric`). The evaluation needs nothing else of them, so that segmentation,
referring expressions and recognition are run, reported and saved by the same code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from densevl.api.loading import load
from densevl.core.errors import UsageError
from densevl.core.failures import Failure

__all__ = ["BenchmarkDataset", "BenchmarkMetric", "BenchmarkModel", "LoadedModel", "Scores", "as_array", "dotted"]


@runtime_checkable
class Scores(Protocol):
    """Figures of a metric."""

    def as_dict(self) -> dict[str, Any]:
        """Numbers, texts, lists and dicts for a JSON file: full precision, None where a figure is undefined."""
        ...

    def lines(self) -> list[str]:
        """The figures as people read them, the one that counts last."""
        ...


@runtime_checkable
class BenchmarkDataset(Protocol):
    """A data set that describes itself.

    Attributes:
        title: its name in reports.
        source: where its data lie.
        expected: number of images of the whole benchmark; None where it is not known.
        protocol: settings that decide the figure, such as where proposals come from.
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
    """A metric that keeps its last evaluation.

    Attributes:
        scores: None before the first evaluation.
        failures: every image that could not be used.
    """

    scores: Scores | None
    failures: list[Failure]


Data = TypeVar("Data")
"""The data sets that a model reads, beside what the report reads (:class:`BenchmarkDataset`)."""


class BenchmarkModel(BaseModel, Generic[Data]):
    """A model as MMEngine's runner tests it, on data sets of one kind.

    A subclass says how a batch is answered (:meth:`answer`).

    Attributes:
        name: its name in reports.
        mirrors: whether it can average over an image and its mirror image, with the argument ``flip``.
    """

    name: str = "custom"
    mirrors: bool = False

    def __init__(self, data_preprocessor: nn.Module | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor or BaseDataPreprocessor())

    def prepare(self, dataset: Data) -> None:
        """Learn from the data set what its samples are compared with; called once, before the first sample."""

    @torch.inference_mode()
    def forward(self, inputs: Sequence[Tensor], data_samples: Sequence[Any], mode: str = "predict") -> list[Any]:
        """Answer every sample that has an image; the others, with a ``failure``, are passed on as they are.

        Args:
            inputs: uint8 RGB images (3, H, W), each any size.
            data_samples: one an image, with what is to be found in it.
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
        """Settings of the model that decide the figure, in the order in which they are printed."""
        return {}

    def grouped(self, scores: Any) -> Any:
        """The scores, with further means over what the model tells apart."""
        return scores

    def hooks(self, out: str | Path | None, show_dir: str | Path | None) -> list[Hook]:
        """The hooks that write the results of each image.

        Args:
            out: folder of results for programs; None for none.
            show_dir: folder of drawings; None for none.
        """
        return []


class LoadedModel(BenchmarkModel[Data]):
    """A model of :func:`densevl.load`, of which a subclass takes the segmentor or the grounder.

    Args:
        model: a name from ``densevl models``, such a name with another encoder (``maskclip@clip-vit-l14-openai``), or
            the configs of its parts.
        data_preprocessor: what is done to each batch before it is answered; nothing where it is None.
        changes: further arguments of :func:`densevl.load`. MMEngine makes nested dicts of dotted options; they become
            dotted paths again, see :func:`dotted`: the option ``model.refiners.0.weights=FILE`` arrives as the change
            ``{"refiners.0.weights": FILE}``.

    Raises:
        UsageError: where no model is named, or it does not take a change.
        WeightsError: where its weights are missing, damaged or of another model.
    """

    def __init__(
        self,
        model: str | Mapping[str, Any] | None = None,
        data_preprocessor: nn.Module | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(data_preprocessor)
        if model is None:
            raise UsageError("the config names no model; choose one from `densevl models` with --model NAME")
        self.name = model if isinstance(model, str) else "custom"
        # The runner moves the model to its device, which under torchrun is another one in each process.
        self.loaded = load(model, lazy=True, **{"device": "cpu", **dotted(changes)})


def dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted paths: ``{"refiners": {"0": {"weights": 1}}}`` becomes ``{"refiners.0.weights": 1}``.

    A dict with a ``type`` is the config of a whole component and stays as it is.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value and "type" not in value:
            found |= {f"{name}.{path}": inner for path, inner in dotted(value).items()}
        else:
            found[name] = value
    return found


def as_array(image: UInt8[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """An image of a sample as densevl takes images elsewhere."""
    return image.permute(1, 2, 0).contiguous().cpu().numpy()
