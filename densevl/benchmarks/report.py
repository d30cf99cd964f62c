"""Scores of an evaluation, with everything that decides the figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densevl.benchmarks.lenses.answers.contracts import Section
from densevl.benchmarks.protocols import Scores
from densevl.core.failures import Failure
from densevl.core.files import atomic_write

__all__ = ["Report"]

DRAWN = "drawn while needed"
"""The source of data sets of scenes."""


@dataclass(frozen=True, eq=False)
class Report:
    """Scores and protocol of one evaluation.

    Attributes:
        config: name of the config.
        model: name of the model.
        protocol: settings of model and data set that decide the figure.
        dataset: title of the data set.
        source: folder of the data.
        images: number of images that were to be used.
        expected: number of images of the whole benchmark, where it is known.
        scores: over the images that could be used, of any metric.
        failures: the images that could not.
        seconds: wall time of the evaluation.
        remarks: further caveats, of the data set.
        lenses: further sections, by the name of their lens.
    """

    config: str
    model: str
    protocol: dict[str, Any]
    dataset: str
    source: str
    images: int
    expected: int | None
    scores: Scores
    failures: Sequence[Failure]
    seconds: float
    remarks: Sequence[str] = ()
    lenses: Mapping[str, Section] = field(default_factory=dict)

    @property
    def caveats(self) -> list[str]:
        """Reasons why the figure may not be compared with published ones; empty where it may."""
        found = []
        if self.failures:
            found.append(f"INVALID: {len(self.failures)} of {self.images} images could not be used and are left out")
        if self.expected is not None and self.images != self.expected:
            found.append(
                f"{self.images} of the benchmark's {self.expected} images: not comparable with published figures"
            )
        if any("@random" in str(value) for value in self.protocol.values()):
            found.append("random weights: the figure says nothing about quality")
        if self.source != DRAWN and any("mini-clip@" in str(value) for value in self.protocol.values()):
            found.append("the mini CLIP knows drawn scenes alone: the figure says nothing about quality")
        return [*found, *self.remarks]

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        return {
            "config": self.config,
            "model": self.model,
            "protocol": self.protocol,
            "dataset": {"name": self.dataset, "source": self.source, "images": self.images, "expected": self.expected},
            "scores": self.scores.as_dict(),
            "lenses": {name: dict(section.values) for name, section in self.lenses.items()},
            "caveats": self.caveats,
            "failures": [{"image": failure.name, "reason": failure.reason} for failure in self.failures],
            "seconds": round(self.seconds, 3),
        }

    def save(self, path: str | Path) -> None:
        """Write the report as JSON."""
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        with atomic_write(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """Settings, figures and caveats as text."""
        count = f"{self.images} images" if self.expected in (None, self.images) else f"{self.images} of {self.expected}"
        head = {"config": self.config, "model": self.model, **self.protocol, "data": f"{self.dataset}, {count}"}
        width = max(map(len, head))
        lines = [f"{key:<{width}}  {_plain(value)}" for key, value in head.items()]
        lines += ["", *self.scores.lines()]
        for name, section in self.lenses.items():
            lines += ["", f"lens {name}", *section.lines]
        lines += [f"*** {caveat} ***" for caveat in self.caveats]
        return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(item, Mapping) for item in value) else ", ").join(map(_plain, value)) or "none"
    return str(value)
