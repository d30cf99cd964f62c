"""The metric of label maps: one confusion matrix, on the device, reduced once over all processes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from mmengine.dist import all_reduce, is_distributed
from mmengine.registry import METRICS
from torch import Tensor

from densevl.benchmarks.per_image import PerImageMetric
from densevl.core.labelmap import IGNORED, write_label_map
from densevl.metrics.confusion import Scores, confusion_matrix, scores_of

__all__ = ["ConfusionMetric"]


@METRICS.register_module()
class ConfusionMetric(PerImageMetric):
    """mIoU, mAcc and aAcc over a data set; means leave out the classes that do not occur.

    Args:
        output_dir: folder of the label maps, which mmsegmentation's ``tools/test.py --out`` names; None for none. They
            are as its own metric writes them: named as the images, and one up where label 0 of the truth is ignored.
        keep_results: is set by the same option: label maps are always kept there.

    Attributes:
        matrix: pixels of the last evaluation by true class (rows) and given class (columns).
    """

    scores: Scores | None

    def __init__(self, output_dir: str | None = None, keep_results: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_dir = output_dir
        self.matrix: Int64[Tensor, "k k"] | None = None
        self._matrix: Tensor | None = None

    def measure(self, sample: Mapping[str, Any]) -> None:
        """Count the pixels of an image, and write its label map where that is wanted; nothing else is kept of it."""
        self._add(self._counts(sample))

    def tell(self, sample: Mapping[str, Any]) -> list[list[int]]:
        """The pairs of true and given class that occur in an image, and their pixels."""
        counts = self._counts(sample).cpu()
        pairs = counts.nonzero()
        return torch.cat([pairs, counts[pairs[:, 0], pairs[:, 1]][:, None]], dim=1).tolist()

    def hear(self, told: list[list[int]]) -> None:
        """Count the pixels that were told."""
        counts = torch.zeros(2 * (len(self.dataset_meta["classes"]),), dtype=torch.int64)
        true, given, pixels = torch.tensor(told, dtype=torch.int64).reshape(-1, 3).T
        counts[true, given] = pixels
        self._add(counts)

    def _counts(self, sample: Mapping[str, Any]) -> Int64[Tensor, "k k"]:
        labels = sample["pred_sem_seg"]["data"].squeeze(0)
        truth = sample["gt_sem_seg"]["data"].squeeze(0).to(labels.device)
        if self.output_dir is not None:
            moved = int(sample.get("reduce_zero_label", False))
            palette = [(0, 0, 0)] * moved + [tuple(colour) for colour in self.dataset_meta["palette"]]
            path = Path(self.output_dir) / f"{Path(sample['img_path']).stem}.png"
            write_label_map(path, labels.cpu().numpy() + moved, palette)
        ignored = sample.get("ignored", IGNORED)
        return confusion_matrix(truth, labels, len(self.dataset_meta["classes"]), ignored)

    def _add(self, counts: Int64[Tensor, "k k"]) -> None:
        self._matrix = counts if self._matrix is None else self._matrix.add_(counts)

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all processes together; pixels are counted from nothing again afterwards."""
        try:
            return super().evaluate(size)
        finally:
            self._matrix = None

    def score(self, found: list[Any]) -> Scores:
        """The scores of the pixels of all processes."""
        names, matrix = self.dataset_meta["classes"], self._matrix
        if matrix is None:
            matrix = torch.zeros(len(names), len(names), dtype=torch.int64)
        if is_distributed():
            matrix = matrix.to("cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
            all_reduce(matrix)
        self.matrix = matrix.cpu()
        return scores_of(self.matrix, names, self.dataset_meta.get("groups"))

    def figures(self, scores: Scores) -> dict[str, float]:
        """The three means."""
        return {"mIoU": scores.mean_iou, "mAcc": scores.mean_accuracy, "aAcc": scores.pixel_accuracy}
