"""How fast a model is, beside the plain implementation with the same weights, images and classes."""

import copy
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from densevl.chart import draw_chart
from densevl.config_files import load_config
from densevl.drawing import write_image
from densevl.errors import UsageError
from densevl.images import read_image
from densevl.inputs import expand_inputs
from densevl.labelmap import write_label_map
from densevl.models import models
from densevl.plain import PlainSegmentor
from densevl.scenes import render
from densevl.segmentors import Segmentor, build_segmentor
from densevl.structures import Size, TextEmbeddings
from densevl.throughput import throughput
from densevl.timing import Pipeline, Report, compare
from densevl.vocabulary import Vocabulary

__all__ = [
    "Sweep",
    "benchmark",
    "benchmark_batches",
    "benchmark_sweep",
    "configured_segmentor",
    "measure",
    "parse_size",
]

CLASSES = 19, 150, 847
SIZES = (256, 342), (512, 683), (1024, 1366)
"""What :func:`benchmark_sweep` runs over, as Cityscapes, ADE20K and its full list have classes."""


def benchmark(
    config: str,
    weights: str | None = None,
    classes: int = 150,
    size: Size = (512, 683),
    dtypes: Sequence[str] = ("float32", "bfloat16"),
    images: str | os.PathLike[str] | None = None,
    count: int = 3,
    repetitions: int = 3,
    device: str = "cpu",
    **overrides: Any,
) -> Report:
    """Measure a model against the plain implementation with the same weights.

    Args:
        config: a model's name, or a config file.
        weights: as for :func:`configured_segmentor`.
        classes: number of classes to label.
        size: of the scenes that are drawn where no images are given.
        dtypes: of the weights, one pipeline for each.
        images: image files, a folder or a glob, in the place of drawn scenes.
        count: images used.
        repetitions: how often each image is run.
        device: where the model runs.
        overrides: arguments of :class:`densevl.Segmentor`.

    Raises:
        UsageError: where the config, the images or an override cannot be used.
        WeightsError: where the weights cannot be had.
    """
    segmentor = configured_segmentor(config, weights, **overrides).to(device)
    texts = segmentor.embed(_vocabulary(classes))
    pipelines = [_plain(PlainSegmentor(segmentor), texts)]
    for dtype in dtypes:
        pipelines.append(_fast(copy.deepcopy(segmentor).to(getattr(torch, dtype)), texts, f"densevl {dtype}"))
    with tempfile.TemporaryDirectory() as folder:
        if images is None:
            files = list(_draw(Path(folder), count, size))
        else:
            files = [file.path for file in expand_inputs([images])][:count]
        figures = compare(pipelines, files, repetitions, segmentor.device)
        height, width = read_image(files[0]).shape[:2]
    setting = {
        "model": config,
        "encoder": segmentor.encoder.model_id,
        "classes": classes,
        "size": f"{height}×{width}",
        "window": segmentor.window,
        "stride": segmentor.stride,
        "images": len(files),
        "repetitions": repetitions,
        "device": torch.cuda.get_device_name()
        if segmentor.device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return Report(setting, figures)


@dataclass(frozen=True)
class Sweep:
    """Reports of a model by number of classes, and by size of the image."""

    by_classes: dict[int, Report]
    by_size: dict[Size, Report]

    def __str__(self) -> str:
        return "\n\n".join(map(str, [*self.by_classes.values(), *self.by_size.values()]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Draw seconds an image against classes and against pixels, side by side.

        Raises:
            OutputError: where the file cannot be written.
        """
        pixels = {height * width / 1e6: f"{height}×{width}" for height, width in self.by_size}
        by_pixels = dict(zip(pixels, self.by_size.values(), strict=True))
        fixed = next(iter(self.by_size.values())).setting["classes"]
        size = next(iter(self.by_classes.values())).setting["size"]
        left = draw_chart(_lines(self.by_classes), f"{size} pixels", "classes", "seconds an image")
        right = draw_chart(_lines(by_pixels), f"{fixed} classes", "size of the image", "seconds an image", pixels)
        write_image(path, np.hstack([left, right]))


def _lines(reports: Mapping[Any, Report]) -> dict[str, list[tuple[int | float, float]]]:
    names = next(iter(reports.values())).figures
    return {name: [(x, sum(r.figures[name].seconds.values())) for x, r in reports.items()] for name in names}


def benchmark_sweep(
    config: str,
    weights: str | None = None,
    classes: Sequence[int] = CLASSES,
    sizes: Sequence[Size] = SIZES,
    **options: Any,
) -> Sweep:
    """Measure what classes cost, at the middle size, and what pixels cost, at the middle number of classes.

    Args:
        config: as for :func:`benchmark`.
        weights: likewise.
        classes: numbers of classes.
        sizes: (height, width) of the images.
        options: further arguments of :func:`benchmark`.
    """
    middle = classes[len(classes) // 2], sizes[len(sizes) // 2]
    reports = {
        (count, size): benchmark(config, weights, classes=count, size=size, **options)
        for count, size in dict.fromkeys([*((c, middle[1]) for c in classes), *((middle[0], s) for s in sizes)])
    }
    return Sweep({c: reports[c, middle[1]] for c in classes}, {s: reports[middle[0], s] for s in sizes})


def benchmark_batches(
    config: str,
    weights: str | None = None,
    counts: Sequence[int] = (1, 4, 16),
    classes: int = 150,
    size: Size = (512, 683),
    dtypes: Sequence[str] = ("float32", "bfloat16"),
    repetitions: int = 5,
    device: str = "cuda",
    compiled: bool = False,
    **overrides: Any,
) -> str:
    """Images per second of whole batches, as for a GPU, a line for each dtype and batch.

    Args:
        config: as for :func:`benchmark`.
        weights: likewise.
        counts: images that are encoded together.
        classes: number of classes to label.
        size: of the scene that is drawn.
        dtypes: of the weights.
        repetitions: of each measurement.
        device: where the model runs.
        compiled: run the image encoder through ``torch.compile``; the first run of each shape takes minutes.
        overrides: arguments of :class:`densevl.Segmentor`.
    """
    image, lines = render(0, 0, size, count=(4, 10)).image, []
    for dtype in dtypes:
        segmentor = configured_segmentor(config, weights, **overrides).to(device, getattr(torch, dtype))
        texts = segmentor.embed(_vocabulary(classes))
        if compiled:
            segmentor.encoder.dense = torch.compile(segmentor.encoder.dense)
        rows = throughput(segmentor, texts, image, counts, repetitions)
        lines += [f"{dtype}{', compiled' if compiled else ''}, {row}" for row in rows]
    return "\n".join(lines)


def configured_segmentor(config: str, weights: str | None = None, **overrides: Any) -> Segmentor:
    """The segmentor of a named model or of a config file.

    Args:
        config: a model's name, or a config file.
        weights: of the encoder, in the place of the model's own: a name or a file; or ``"rule"`` for those that
            open_clip's initialisation draws from a seed, which need no download. They mean nothing, but take the same
            time.
        overrides: arguments of :class:`densevl.Segmentor`.

    Raises:
        UsageError: where the config or an override cannot be used.
        WeightsError: where the weights cannot be had.
    """
    chosen = config if config in models() else load_config(config).get("model", {}).get("segmentor")
    if chosen is None:
        raise UsageError(f"config {config} has no model.segmentor to measure; take one such as maskclip_ade")
    if weights == "rule":
        weights, overrides = "random:0", {"templates": "none", **overrides}
    return build_segmentor(chosen, weights, **overrides)


def _fast(segmentor: Segmentor, texts: TextEmbeddings, name: str) -> Pipeline:
    def label(encoded: Any) -> np.ndarray:
        return segmentor.label(encoded, texts)[0].cpu().numpy()

    def write(path: Path, labels: np.ndarray) -> None:
        write_label_map(path, labels, texts.vocabulary.palette)

    return Pipeline(name, read_image, lambda image: segmentor.encode([image])[0], label, write)


def _plain(segmentor: PlainSegmentor, texts: TextEmbeddings) -> Pipeline:
    def decode(path: Path) -> np.ndarray:
        return np.array(Image.open(path).convert("RGB"))

    def label(encoded: Any) -> np.ndarray:
        return segmentor.label(encoded, texts).cpu().numpy()

    def write(path: Path, labels: np.ndarray) -> None:
        Image.fromarray(labels.astype(np.uint16 if len(texts.vocabulary) > 256 else np.uint8)).save(path)

    return Pipeline("plain float32", decode, segmentor.encode, label, write)


def _vocabulary(classes: int) -> Vocabulary:
    """That many classes with names of one word or two, as benchmarks have them."""
    names = Vocabulary.load("ade20k").names
    return Vocabulary.from_classes(
        [names[i] if i < len(names) else f"{names[i % len(names)]} {i}" for i in range(classes)]
    )


def _draw(folder: Path, count: int, size: Size) -> Iterator[Path]:
    """Scenes as JPEG files."""
    for index in range(count):
        path = folder / f"{index}.jpg"
        Image.fromarray(render(0, index, size, count=(4, 10)).image).save(path, quality=95)
        yield path


def measure(
    config: str,
    *,
    size: str = "512x683",
    dtype: str = "both",
    json: str | None = None,
    sweep: str | None = None,
    batches: str | None = None,
    compiled: bool = False,
    **options: Any,
) -> Report | Sweep | str:
    """What ``tools/benchmark.py`` prints.

    Args:
        config: as for :func:`benchmark`.
        size: ``HEIGHTxWIDTH`` of the scenes that are drawn.
        dtype: of the weights, or ``"both"``.
        json: file for the figures of :func:`benchmark`.
        sweep: file for the chart of :func:`benchmark_sweep`, which is then run.
        batches: numbers of images, ``1,4,16``, for :func:`benchmark_batches`, which is then run.
        compiled: as for :func:`benchmark_batches`.
        options: further arguments of the function that is run.

    Raises:
        UsageError: where an option cannot be used.
        OutputError: where a file cannot be written.
    """
    options["dtypes"] = ("float32", "bfloat16") if dtype == "both" else (dtype,)
    if batches is not None:
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", batches):
            raise UsageError(f"write batches as numbers of images, such as 1,4,16; got {batches!r}")
        counts = list(map(int, batches.split(",")))
        return benchmark_batches(config, counts=counts, size=parse_size(size), compiled=compiled, **options)
    if sweep is not None:
        swept = benchmark_sweep(config, **options)
        swept.save(sweep)
        return swept
    report = benchmark(config, size=parse_size(size), **options)
    if json is not None:
        report.save(json)
    return report


def parse_size(text: str) -> Size:
    """(height, width) of a text such as ``512x683``.

    Raises:
        UsageError: where it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"write a size as HEIGHTxWIDTH, such as 512x683; got {text!r}")
    return int(match[1]), int(match[2])
