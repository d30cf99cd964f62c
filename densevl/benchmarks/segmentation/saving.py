"""Results of an evaluation written as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from densevl.benchmarks.segmentation.upstream import SegDataSample
from densevl.core.drawing.overlay import draw_overlay, write_image
from densevl.core.labelmap import write_label_map

__all__ = ["SaveResults"]


class SaveResults(Hook):
    """Write the results of every image under its own relative path.

    Args:
        out: folder of the label maps; None for none.
        show_dir: folder of the overlays; None for none.
    """

    def __init__(self, out: str | Path | None = None, show_dir: str | Path | None = None) -> None:
        self.out, self.show_dir = out, show_dir

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[SegDataSample] | None = None
    ) -> None:
        """Write the results of a batch."""
        dataset = runner.test_dataloader.dataset
        names, palette = dataset.vocabulary.names, dataset.vocabulary.palette
        for sample in outputs or ():
            if "failure" in sample:
                continue
            name = Path(sample.relative_path).with_suffix(".png")
            labels = sample.pred_sem_seg.data[0].cpu().numpy()
            if self.out is not None:
                write_label_map(Path(self.out) / name, labels, palette)
            if self.show_dir is not None:
                image = dataset.image(sample.sample_idx)
                write_image(Path(self.show_dir) / name, draw_overlay(image, labels, names, palette))
