"""What an evaluation found, with everything that decides the figure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.benchmarks.confusion import Scores
from densevl.files import atomic_write

__all__ = ["Report"]


@dataclass(frozen=True, eq=False)
class Report:
    """Scores and protocol of one evaluation.

    Attributes:
        config: name of the config.
        model: name of the model.
        protocol: what the segmentor says decides its labels, and whether mirror images were averaged in.
        dataset: name of the vocabulary that the data set is labelled with.
        source: where the data lie.
        images: number of images that were asked for.
        expected: number of images of the whole benchmark, where it is known.
        scores: over the images that could be used.
        failures: path and reason of each image that could not.
        seconds: wall time of the evaluation.
    """

    config: str
    model: str
    protocol: dict[str, Any]
    dataset: str
    source: str
    images: int
    expected: int | None
    scores: Scores
    failures: Sequence[tuple[str, str]]
    seconds: float

    @property
    def caveats(self) -> list[str]:
        """Why the figure may not be compared with published ones; empty where it may."""
        found = []
        if self.failures:
            found.append(f"INVALID: {len(self.failures)} of {self.images} images could not be used and are left out")
        if self.expected is not None and self.images != self.expected:
            found.append(
                f"{self.images} of the benchmark's {self.expected} images: not comparable with published figures"
            )
        if "random" in str(self.protocol.get("encoder")):
            found.append("random weights: the figure says nothing about quality")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "config": self.config,
            "model": self.model,
            "protocol": self.protocol,
            "dataset": {"name": self.dataset, "source": self.source, "images": self.images, "expected": self.expected},
            "scores": self.scores.as_dict(),
            "caveats": self.caveats,
            "failures": [{"image": path, "reason": reason} for path, reason in self.failures],
            "seconds": round(self.seconds, 3),
        }

    def save(self, path: str | Path) -> None:
        """Write the report as JSON."""
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        with atomic_write(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """The report as people read it."""
        count = f"{self.images} images" if self.expected in (None, self.images) else f"{self.images} of {self.expected}"
        head = {"config": self.config, "model": self.model, **self.protocol, "data": f"{self.dataset}, {count}"}
        width = max(map(len, head))
        lines = [f"{key:<{width}}  {_plain(value)}" for key, value in head.items()]
        lines += ["", *_class_table(self.scores), "", *_means(self.scores)]
        lines += [f"*** {caveat} ***" for caveat in self.caveats]
        return "\n".join(lines)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _number(value: float) -> str:
    return "    –" if value != value else f"{value:5.2f}"


def _class_table(scores: Scores) -> list[str]:
    """IoU, accuracy and share of the true pixels of each class; a dash where a class does not occur."""
    width = max(5, *map(len, scores.names))
    total = max(1, int(scores.pixels.sum()))
    rows = zip(scores.names, scores.iou.tolist(), scores.accuracy.tolist(), scores.pixels.tolist(), strict=True)
    lines = [f"{'class':<{width}}    IoU    Acc  pixels"]
    return lines + [f"{n:<{width}}  {_number(i)}  {_number(a)}  {p / total:6.2%}" for n, i, a, p in rows]


def _means(scores: Scores) -> list[str]:
    lines = [f"mIoU of {name}: {value:.2f}" for name, value in scores.group_iou().items()]
    known = len(scores.names) - len(scores.absent)
    over = f"over {known} classes" + (
        f", {len(scores.absent)} of {len(scores.names)} never occur" if scores.absent else ""
    )
    means = f"mIoU {scores.mean_iou:.2f}  mAcc {scores.mean_accuracy:.2f}  aAcc {scores.pixel_accuracy:.2f}"
    return [*lines, f"{means}  ({over})"]
