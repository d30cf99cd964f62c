"""Ordering images by a text, and training what orders them; what is written and said of both."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process

from densevl.api.jobs.tune import check_writable
from densevl.api.model import Model
from densevl.core.files import atomic_write
from densevl.datasets.scored import Scored
from densevl.encoders.ranking.ranking import Ranking
from densevl.tasks.ranking import Order

__all__ = ["LearnRankingJob", "order_lines", "write_csv"]


class LearnRankingJob:
    """Trains a ranking adapter and writes it.

    Args:
        model: the loaded model.
        out: the file of the adapter.
        loaded: further arguments that loaded the model, so that other commands can load it again.
    """

    def __init__(self, model: Model, out: Path, loaded: Mapping[str, Any] | None = None) -> None:
        self.model, self.out, self.loaded = model, out, dict(loaded or {})

    def run(self, examples: Sequence[Scored], work_dir: Path | None = None, **settings: Any) -> Ranking:
        """Train and write; nothing is written where training fails, but for checkpoints in the work folder.

        Args:
            examples: what to learn from.
            work_dir: of checkpoints; None for a folder that is removed when all is done.
            settings: of :meth:`densevl.Model.learn_ranking`.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the examples or the settings cannot be used, or training diverges.
            OutputError: where a result cannot be written, said before anything is learnt.
        """
        if is_main_process():
            check_writable(self.out)
        folder = self.out.with_suffix(".tuning") if work_dir is None else work_dir
        ranking = self.model.learn_ranking(examples, work_dir=folder, loaded=self.loaded, **settings)
        if is_main_process():
            ranking.save(self.out)
            if work_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
        barrier()
        return ranking

    def lines(self, ranking: Ranking) -> list[str]:
        """What was learnt, for people."""
        lines = []
        for text, said in ranking.texts.items():
            order = f"Spearman {said['spearman']:.3f} on held-out images" if "spearman" in said else "none held out"
            lines.append(f"{said['examples']:7}  {text}; {order}")
        facts = ranking.facts
        lines.append(f"{facts['method']}: {facts['parameters']} numbers trained in {facts['seconds']:.0f} s")
        return [*lines, f"{self.out}"]


def order_lines(order: Order) -> list[str]:
    """An order for people: rank, score, image, box."""
    lines = [order.text]
    for rank, one in enumerate(order, 1):
        box = "" if one.box is None else f" ({', '.join(f'{side:.0f}' for side in one.box)})"
        lines.append(f"{rank:4}  {one.score:9.4g}  {one.name if one.name is not None else one.image}{box}")
    return lines


def write_csv(path: Path, order: Order) -> None:
    """Write an order as a table: rank, image, score and, where regions were ordered, x0, y0, x1, y1.

    Raises:
        OutputError: where it cannot be written.
    """
    boxed = any(one.box is not None for one in order)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "image", "score", *(("x0", "y0", "x1", "y1") if boxed else ())])
    for rank, one in enumerate(order, 1):
        writer.writerow([rank, *(value for name, value in one.record.items() if name != "box"), *(one.box or ())])
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
