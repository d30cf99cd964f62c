"""Evaluating the images of a data set on an engine: the same figures as one process gives, and a run that goes on.

Each worker builds the data set, the model and the metric of the config, and says of each image what the figures need of
it (:meth:`densevl.benchmarks.per_image.PerImageMetric.told`). The process that began the evaluation keeps that beside
``results.json``, a line an image, until the figures are computed, so that an evaluation that was stopped goes on.
"""

import json
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS
from mmengine.runner import Runner, set_random_seed
from tqdm import tqdm

from densevl.benchmarks.per_image import PerImageMetric
from densevl.core.engine import Engine, Worker
from densevl.core.errors import DensevlError, OutputError, UsageError
from densevl.core.files import parse_json

__all__ = ["KEPT", "ImageRecipe", "ImageWorker", "KeptImages", "Numbered", "evaluate_images", "metric_of", "unanswered"]

KEPT = "images.jsonl"
"""What was found of the images of an evaluation that has not ended."""

Told = dict[str, Any]


@dataclass(frozen=True)
class Numbered:
    """An image of a data set.

    Attributes:
        index: in the data set.
        place: the image in words.
    """

    index: int
    place: str


class ImageWorker(Worker[Numbered, Any, Any, Told]):
    """Reads images of a data set, answers them with a model, and says what a metric needs.

    Args:
        cfg: of the evaluation.
        out: folder of the results of each image; None for none.
        show_dir: folder of a drawing of them; None for none.
    """

    def __init__(self, cfg: Config, out: Path | None = None, show_dir: Path | None = None) -> None:
        set_random_seed(0)
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        self.dataset, self.collate, self.batch = loader.dataset, loader.collate_fn, int(loader.batch_size or 1)
        self.model: Any = MODELS.build(cfg.model)
        self.model.prepare(self.dataset)
        self.model.to(get_device()).eval()
        self.metric = metric_of(cfg.test_evaluator, self.dataset)
        self.hooks = self.model.hooks(out, show_dir)

    def read(self, item: Numbered) -> Any:
        """The image and what is to be found in it, as the pipeline of the data set gives them."""
        return self.dataset[item.index]

    def make(self, items: Sequence[Numbered], read: Sequence[Any]) -> list[Any]:
        """Answer a batch."""
        return list(self.model.test_step(self.collate(list(read))))

    def write(self, item: Numbered, made: Any) -> Told:
        """Write the results of an image where that is wanted, and say what the metric needs."""
        loop = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=self.dataset))
        for hook in self.hooks:
            hook.after_test_iter(loop, 0, None, [made])
        return self.metric.told(made.to_dict())


def metric_of(cfg: Any, dataset: Any) -> PerImageMetric:
    """The metric of an evaluation.

    Raises:
        UsageError: where there are several, or it keeps no result of each image.
    """
    evaluator = Evaluator(cfg)
    evaluator.dataset_meta = getattr(dataset, "metainfo", None)
    metric, *others = evaluator.metrics
    if others or not isinstance(metric, PerImageMetric):
        raise UsageError(f"--workers need one metric that keeps each image; got {type(metric).__name__}")
    return metric


@dataclass(frozen=True)
class ImageRecipe:
    """How another process makes its worker.

    Attributes:
        configured: gives the config, first of two; it can be sent there.
        out: folder of the results of each image; None for none.
        show_dir: folder of a drawing of them; None for none.
    """

    configured: Callable[[], tuple[Config, Any]]
    out: Path | None
    show_dir: Path | None

    def __call__(self) -> ImageWorker:
        """The worker.

        Raises:
            DensevlError: where the model or the data set cannot be had there.
        """
        return ImageWorker(self.configured()[0], self.out, self.show_dir)


class KeptImages:
    """What was found of images, a line each, in a file that begins with a fingerprint.

    Args:
        file: of the lines; one of another fingerprint is begun anew.
        fingerprint: differs where anything does that decides a figure.

    Attributes:
        found: by the index of the image.

    Raises:
        OutputError: where it cannot be written.
    """

    def __init__(self, file: Path, fingerprint: str) -> None:
        self.file, self.found = file, dict[int, Told]()
        lines = list(self._lines())
        if lines and lines[0] == {"fingerprint": fingerprint}:
            self.found = {line["index"]: line["told"] for line in lines[1:] if line.keys() == {"index", "told"}}
        self._write("w", {"fingerprint": fingerprint})  # anew, for the last line may be half of one
        self._write("a", *({"index": index, "told": told} for index, told in self.found.items()))

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self.file.open(encoding="utf-8") as file:
                for text in file:
                    yield parse_json(text)
        except (OSError, ValueError):  # there is none, or a process was killed while it wrote the line
            return

    def add(self, index: int, told: Told) -> None:
        """Keep what was found of an image.

        Raises:
            OutputError: where it cannot be written.
        """
        self.found[index] = told
        self._write("a", {"index": index, "told": told})

    def _write(self, mode: str, *lines: dict[str, Any]) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open(mode, encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        except OSError as error:
            raise OutputError(f"cannot write {self.file}: {error.strerror or error}; choose another folder") from error

    def remove(self) -> None:
        """Remove the file: the figures are computed."""
        self.file.unlink(missing_ok=True)


def unanswered(images: int, batch: int, found: Container[int]) -> list[int]:
    """The images of batches that are not done as a whole: batches are composed as in a run that was never stopped.

    Args:
        images: of the data set.
        batch: images that are answered together.
        found: indices of images that are done.
    """
    batches = [range(start, min(start + batch, images)) for start in range(0, images, batch)]
    return [index for one in batches if not all(index in found for index in one) for index in one]


def evaluate_images(
    dataset: Any, metric: PerImageMetric, engine: Engine, recipe: ImageRecipe, batch: int, kept: KeptImages
) -> None:
    """Let a metric score all images of a data set.

    Args:
        dataset: in this process.
        metric: of this process; it knows the classes.
        engine: where images are answered.
        recipe: makes the workers.
        batch: images that are answered together.
        kept: what an earlier run has found, which is not done again.

    Raises:
        DensevlError: where an image makes a worker fail; the message names it.
    """
    items = [Numbered(index, _place(dataset, index)) for index in unanswered(len(dataset), batch, kept.found)]
    with tqdm(total=len(dataset), initial=len(dataset) - len(items), desc="images", unit="image", disable=None) as bar:
        for outcome in engine.run(recipe, items, batch):
            if outcome.failure is not None or outcome.said is None:
                raise DensevlError(
                    f"{outcome.item.place} cannot be answered: {outcome.failure and outcome.failure.reason}"
                )
            kept.add(outcome.item.index, outcome.said)
            bar.update()
    for index in range(len(dataset)):
        metric.take(index, kept.found[index])
    metric.evaluate(len(dataset))


def _place(dataset: Any, index: int) -> str:
    """An image of a data set in words."""
    if hasattr(dataset, "get_data_info"):
        return str(dataset.get_data_info(index).get("img_path", f"image {index}"))
    return str(dataset.path(index)) if hasattr(dataset, "path") else f"image {index}"
