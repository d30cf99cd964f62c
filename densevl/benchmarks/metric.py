"""The metric of the benchmarks: one confusion matrix, on the device, reduced once over all processes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS
from torch import Tensor

from densevl.benchmarks.confusion import Scores, confusion_matrix, scores_of
from densevl.benchmarks.gathering import check_each_once, gathered
from densevl.errors import UsageError

__all__ = ["ConfusionMetric"]


@METRICS.register_module()
class ConfusionMetric(BaseMetric):
    """mIoU, mAcc and aAcc over a data set; means leave out the classes that do not occur.

    Attributes:
        scores: of the last evaluation.
        failures: path and reason of every image of the last evaluation that could not be used.
    """

    default_prefix = "scores"  # or MMEngine warns; evaluate() below does not use it

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores: Scores | None = None
        self.failures: list[tuple[str, str]] = []
        self._reset()

    def _reset(self) -> None:
        self._matrix: Tensor | None = None
        self._seen: list[int] = []
        self._failed: list[tuple[str, str]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count the pixels of a batch."""
        classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            self._seen.append(sample["sample_idx"])
            if "failure" in sample:
                self._failed.append((str(sample["img_path"]), sample["failure"]))
                continue
            labels = sample["pred_sem_seg"]["data"].squeeze(0)
            truth = sample["gt_sem_seg"]["data"].squeeze(0).to(labels.device)
            counts = confusion_matrix(truth, labels, classes)
            self._matrix = counts if self._matrix is None else self._matrix.add_(counts)

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all processes together.

        Args:
            size: number of images of the data set.

        Raises:
            UsageError: where an image was counted twice or not at all, or none could be used.
        """
        seen, failed = gathered(self._seen), gathered(self._failed)
        matrix = self._matrix
        if matrix is None:
            classes = len(self.dataset_meta["classes"])
            matrix = torch.zeros(classes, classes, dtype=torch.int64)
        if is_distributed():
            device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
            matrix = matrix.to(device)
            all_reduce(matrix)
        self._reset()
        check_each_once(seen, size)
        self.failures = sorted(failed)
        if len(failed) == size:
            path, reason = self.failures[0]
            raise UsageError(f"none of the {size} images could be used; the first one, {path}: {reason}")
        names, groups = self.dataset_meta["classes"], self.dataset_meta.get("groups")
        self.scores = scores_of(matrix, names, groups)
        for path, reason in self.failures:
            print_log(f"left out {path}: {reason}", logger="current", level=logging.ERROR)
        means = {"mIoU": self.scores.mean_iou, "mAcc": self.scores.mean_accuracy, "aAcc": self.scores.pixel_accuracy}
        return {name: round(value, 2) for name, value in means.items()}

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """MMEngine's interface for results an image; :meth:`evaluate` does not use it."""
        raise NotImplementedError("ConfusionMetric keeps no results an image")
