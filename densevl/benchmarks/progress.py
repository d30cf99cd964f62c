"""Progress of an evaluation."""

from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from tqdm import tqdm

__all__ = ["Progress"]


class Progress(Hook):
    """A bar over the batches of this process, shown by the first one."""

    def before_test_epoch(self, runner: Any) -> None:
        """Start the bar."""
        loader = runner.test_dataloader
        self.bar = tqdm(total=len(loader), desc="images", unit="batch", disable=None if is_main_process() else True)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar."""
        self.bar.update()

    def after_test_epoch(self, runner: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Close the bar."""
        self.bar.close()
