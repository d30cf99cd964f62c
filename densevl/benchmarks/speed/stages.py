"""Time and memory of the stages of segmentation, measured side by side.

Every image goes through all pipelines in turn, so that what else the machine does meets them alike; figures are medians
over images and repetitions. Memory is what a stage adds, at its peak, to what was in use before it.
"""

import contextlib
import json
import math
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densevl.core.files import atomic_write

__all__ = ["STAGES", "Figures", "Pipeline", "Report", "Stages", "compare"]

STAGES = ("decode", "encode", "label", "write")


class Stages:
    """Seconds and bytes of each stage, as they are measured.

    Args:
        device: where the work is done; a GPU is waited for, and its memory is the one that is measured.

    Attributes:
        seconds: of each stage, in the order measured.
        memory: bytes likewise; NaN where the system does not tell.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.memory: dict[str, list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Measure what happens inside."""
        before = self._forget_peak()
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[stage].append(time.perf_counter() - start)
        self.memory[stage].append(self._peak() - before)

    def _forget_peak(self) -> float:
        """Let the peak start from what is in use now, in bytes."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            return float(torch.cuda.memory_allocated(self.device))
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # another system, or a container that does not allow it
            return math.nan
        return _status("VmRSS")

    def _peak(self) -> float:
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device))
        return _status("VmHWM")


def _status(field: str) -> float:
    """Bytes that Linux says of this process."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return float(line.split()[1]) * 1024
    return math.nan


@dataclass(frozen=True)
class Pipeline:
    """One way to get from an image file to a label map file.

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

    def run(self, image: Path, target: Path, stages: Stages) -> np.ndarray:
        """Take one image all the way; return its labels."""
        with stages.measure("decode"):
            pixels = self.decode(image)
        with stages.measure("encode"):
            encoded = self.encode(pixels)
        with stages.measure("label"):
            labels = self.label(encoded)
        with stages.measure("write"):
            self.write(target, labels)
        return labels


@dataclass(frozen=True)
class Figures:
    """What was measured of one pipeline: medians over images and repetitions.

    Attributes:
        seconds: of each stage.
        mebibytes: that each stage adds at its peak; NaN where the system does not tell.
        speedup: time of the first pipeline over the time of this one, image by image.
        agreement: share of pixels with the labels of the first pipeline.
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
    stages = {pipeline.name: Stages(device) for pipeline in pipelines}
    agreement = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "labels.png"
        for pipeline in pipelines:
            pipeline.run(images[0], target, Stages(device))
        for image in [image for _ in range(repetitions) for image in images]:
            labels = {pipeline.name: pipeline.run(image, target, stages[pipeline.name]) for pipeline in pipelines}
            for name, found in labels.items():
                agreement[name].append((found == labels[pipelines[0].name]).mean())
    totals = {name: np.sum([measured.seconds[stage] for stage in STAGES], axis=0) for name, measured in stages.items()}
    return {
        name: Figures(
            seconds={stage: statistics.median(measured.seconds[stage]) for stage in STAGES},
            mebibytes={stage: max(measured.memory[stage]) / 2**20 for stage in STAGES},
            speedup=float(np.median(totals[pipelines[0].name] / totals[name])),
            agreement=float(np.mean(agreement[name])),
        )
        for name, measured in stages.items()
    }
