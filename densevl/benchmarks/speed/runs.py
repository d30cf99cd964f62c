"""A model beside the plain implementation, image by image, and alone in whole batches."""

import copy
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from densevl.benchmarks.speed.batches import throughput
from densevl.benchmarks.speed.plain import PlainSegmentor
from densevl.benchmarks.speed.setting import configured_segmentor, draw_scenes, some_classes
from densevl.benchmarks.speed.stages import Pipeline, Report, compare
from densevl.core.features import TextEmbeddings
from densevl.core.files import expand_inputs
from densevl.core.geometry import Size
from densevl.core.images import read_image
from densevl.core.labelmap import write_label_map
from densevl.datasets.scenes import render
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["benchmark", "benchmark_batches"]


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
        weights: as for :func:`densevl.benchmarks.speed.configured_segmentor`.
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
    texts = segmentor.embed(some_classes(classes))
    pipelines = [_plain(PlainSegmentor(segmentor), texts)]
    for dtype in dtypes:
        pipelines.append(_fast(copy.deepcopy(segmentor).to(getattr(torch, dtype)), texts, f"densevl {dtype}"))
    with tempfile.TemporaryDirectory() as folder:
        if images is None:
            files = list(draw_scenes(Path(folder), count, size))
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
        texts = segmentor.embed(some_classes(classes))
        if compiled:
            segmentor.dense.compile()
        rows = throughput(segmentor, texts, image, counts, repetitions)
        lines += [f"{dtype}{', compiled' if compiled else ''}, {row}" for row in rows]
    return "\n".join(lines)


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
