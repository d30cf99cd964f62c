"""The base of every metric of the benchmarks: each image counts once, and one that could not be used is named."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mmengine.dist import all_gather_object, is_distributed
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from densevl.benchmarks.protocols import Scores
from densevl.core.errors import UsageError
from densevl.core.failures import Failure

__all__ = ["PerImageMetric", "check_each_once", "gathered"]


class PerImageMetric(BaseMetric):
    """Results of each image, scored over all processes in the order of the data set.

    A metric says what it keeps of an image (:meth:`measure`) and what it makes of all that (:meth:`score`).

    Attributes:
        scores: of the last evaluation.
        failures: every image of the last evaluation that could not be used.
        lost: number of questions of each of these images, by :meth:`weigh`.
    """

    default_prefix = "scores"  # or MMEngine warns; evaluate() below does not use it

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores: Scores | None = None
        self.failures: list[Failure] = []
        self.lost: list[int] = []
        self._found: list[tuple[int, Any]] = []
        self._failed: list[tuple[int, Failure, int]] = []

    def measure(self, sample: Mapping[str, Any]) -> Any:
        """Result of an image that could be used."""
        raise NotImplementedError

    def tell(self, sample: Mapping[str, Any]) -> Any:
        """Result of an image as JSON values, for another process and for a file; the metric itself does not change."""
        raise NotImplementedError

    def hear(self, told: Any) -> Any:
        """What :meth:`measure` gives, of what :meth:`tell` gave: the same to the last bit."""
        raise NotImplementedError

    def weigh(self, sample: Mapping[str, Any]) -> int:
        """Number of questions that are lost with an image that could not be used."""
        return 1

    def score(self, found: list[Any]) -> Scores:
        """The figures of all images that could be used, one or more; called on every process."""
        raise NotImplementedError

    def figures(self, scores: Any) -> dict[str, float]:
        """Figures that MMEngine logs."""
        return {}

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep what was found of a batch."""
        for sample in data_samples:
            if "sample_idx" not in sample:
                raise UsageError(
                    f"{type(self).__name__} counts every image once and needs sample_idx in its sample; add it to "
                    "meta_keys of PackSegInputs, or take mmsegmentation's IoUMetric"
                )
            index = sample["sample_idx"]
            if "failure" in sample:
                failure = Failure(str(sample["img_path"]), sample["failure"])
                self._failed.append((index, failure, self.weigh(sample)))
            else:
                self._found.append((index, self.measure(sample)))

    def told(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Everything of an image that the figures need, as JSON values: its result, or why it could not be used."""
        if "failure" in sample:
            return {"failure": [str(sample["img_path"]), sample["failure"]], "lost": self.weigh(sample)}
        return {"found": self.tell(sample)}

    def take(self, index: int, told: Mapping[str, Any]) -> None:
        """Keep what :meth:`told` gave of an image, in this process or in another, now or in an earlier run.

        Args:
            index: of the image in the data set.
            told: of the image.
        """
        if "failure" in told:
            self._failed.append((index, Failure(*told["failure"]), told["lost"]))
        else:
            self._found.append((index, self.hear(told["found"])))

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all processes together.

        Args:
            size: number of images of the data set.

        Raises:
            UsageError: where an image was counted twice or not at all, or none could be used.
        """
        found = sorted(gathered(self._found), key=lambda entry: entry[0])
        failed = sorted(gathered(self._failed))
        self._found, self._failed = [], []
        check_each_once([index for index, _ in found] + [entry[0] for entry in failed], size)
        self.failures = [failure for _, failure, _ in failed]
        self.lost = [count for *_, count in failed]
        if not found:
            path, reason = self.failures[0]
            raise UsageError(f"none of the {size} images could be used; the first one, {path}: {reason}")
        self.scores = self.score([kept for _, kept in found])
        for path, reason in self.failures:
            print_log(f"left out {path}: {reason}", logger="current", level=logging.ERROR)
        return {name: round(value, 2) for name, value in self.figures(self.scores).items()}

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """MMEngine's interface for results an image; :meth:`evaluate` does not use it."""
        raise NotImplementedError(f"{type(self).__name__} keeps no results an image")


Item = TypeVar("Item")


def gathered(items: list[Item]) -> list[Item]:
    """The items of all processes, in the order of the processes; every process gets all of them."""
    if not is_distributed():
        return items
    return [item for found in all_gather_object(items) for item in found]


def check_each_once(seen: Sequence[int], size: int) -> None:
    """Refuse a figure over anything but each image once.

    Args:
        seen: index of each image that was evaluated.
        size: number of images of the data set.

    Raises:
        UsageError: where one was counted twice or not at all.
    """
    twice = [index for index, times in Counter(seen).items() if times > 1]
    if twice:
        raise UsageError(
            f"{len(twice)} images were counted more than once (sample {twice[0]}, for one): the sampler filled up the "
            "processes; set test_dataloader.sampler.round_up=False"
        )
    if len(seen) != size:
        raise UsageError(f"{len(seen)} of the {size} images were evaluated; the figure would mean nothing")
