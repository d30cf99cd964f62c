"""Time and memory of the stages of segmentation, from an image file to a label map file, of several pipelines.

Every image goes through all pipelines in turn; figures are medians over images and repetitions. Memory is what a stage
adds, at its peak, to what was in use before it.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densevl.benchmarks.speed.cost import Cost, measure
from densevl.core.files import atomic_write

__all__ = ["STAGES", "Figures", "Pipeline", "Report", "compare"]

STAGES = ("decode", "encode", "label", "write")


@dataclass(frozen=True)
class Pipeline:
    """One implementation of the stages.

    Attributes:
        name: what reports call it.
        decode: file to pixels.
        encode: pixels to features.
        label: features to the label of each pixel.
        write: a label map to a file.
    """

    name: str
    decode: Callable[[Path], np.ndarray]
    encode: Callable[[np.ndarray], Any]
    label: Callable[[Any], np.ndarray]
    write: Callable[[Path, np.ndarray], None]

    def stages(self, image: Path, target: Path, held: dict[str, Any]) -> dict[tuple[str, str], Callable[[], None]]:
        """The work of each stage on one image, by the names of pipeline and stage.

        Args:
            image: the file that is read.
            target: the file that is written.
            held: takes the result of each stage under its name; the next stage reads it there.
        """
        return {
            (self.name, "decode"): lambda: held.update(decode=self.decode(image)),
            (self.name, "encode"): lambda: held.update(encode=self.encode(held["decode"])),
            (self.name, "label"): lambda: held.update(label=self.label(held["encode"])),
            (self.name, "write"): lambda: self.write(target, held["label"]),
        }


@dataclass(frozen=True)
class Figures:
    """Figures of one pipeline: medians over images and repetitions.

    Attributes:
        seconds: of each stage.
        mebibytes: that each stage adds at its peak; NaN where the system does not tell.
        speedup: time of the first pipeline over the time of this one, image by image.
        agreement: fraction of pixels with the labels of the first pipeline.
    """

    seconds: dict[str, float]
    mebibytes: dict[str, float]
    speedup: float
    agreement: float

    @property
    def images_per_second(self) -> float:
        """One image after another."""
        return 1 / sum(self.seconds.values())


@dataclass(frozen=True)
class Report:
    """Figures of all pipelines, the one that the others are compared with first, and what they were measured on."""

    setting: dict[str, Any]
    figures: dict[str, Figures]

    def __str__(self) -> str:
        setting = ", ".join(f"{key} {value}" for key, value in self.setting.items())
        cells = "".join(f"{stage:>18}" for stage in STAGES)
        lines = [setting, "", f"{'':18}{cells}{'images/s':>10}{'speed-up':>10}{'same labels':>13}{'label share':>13}"]
        for name, figures in self.figures.items():
            cells = "".join(f"{figures.seconds[s] * 1e3:8.1f} ms {figures.mebibytes[s]:3.0f} MiB" for s in STAGES)
            share = figures.seconds["label"] * figures.images_per_second
            lines.append(
                f"{name:18}{cells}{figures.images_per_second:10.3f}{figures.speedup:9.2f}×"
                f"{figures.agreement:13.4%}{share:13.1%}"
            )
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON.

        Raises:
            OutputError: where the file cannot be written.
        """
        figures = {name: {**asdict(f), "images_per_second": f.images_per_second} for name, f in self.figures.items()}
        with atomic_write(path) as temporary:
            temporary.write_text(
                json.dumps({"setting": self.setting, "pipelines": figures}, indent=2), encoding="utf-8"
            )


def compare(
    pipelines: Sequence[Pipeline], images: Sequence[Path], repetitions: int, device: torch.device
) -> dict[str, Figures]:
    """Run the images through all pipelines in turn, after one image that warms them up.

    Args:
        pipelines: the first one is what the others are compared with.
        images: image files.
        repetitions: how often each image is run.
        device: where the pipelines work.
    """
    costs, labels = [], []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "labels.png"
        for place, image in enumerate(images):
            held: dict[str, dict[str, Any]] = {pipeline.name: {} for pipeline in pipelines}
            work = [pipeline.stages(image, target, held[pipeline.name]) for pipeline in pipelines]
            functions = {name: function for some in work for name, function in some.items()}
            costs.append(measure(functions, repetitions, device, warm_up=1 if place == 0 else 0))
            labels.append({name: results["label"] for name, results in held.items()})
    first = pipelines[0].name
    totals = {pipeline.name: _totals(costs, pipeline.name) for pipeline in pipelines}
    return {
        name: Figures(
            seconds={s: statistics.median(v for one in costs for v in one[name, s].seconds) for s in STAGES},
            mebibytes={s: max(v for one in costs for v in one[name, s].added) / 2**20 for s in STAGES},
            speedup=float(np.median(totals[first] / totals[name])),
            agreement=float(np.mean([(found[name] == found[first]).mean() for found in labels])),
        )
        for name in totals
    }


def _totals(costs: Sequence[Mapping[tuple[str, str], Cost]], name: str) -> np.ndarray:
    """Seconds of all stages of a pipeline together, for each image and repetition."""
    return np.concatenate([np.sum([one[name, stage].seconds for stage in STAGES], axis=0) for one in costs])
