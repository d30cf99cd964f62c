"""Speed of a model: beside the plain implementation, image by image, and alone in whole batches."""

import copy
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from densevl.api.dtypes import choose_dtype, place
from densevl.api.loading import load
from densevl.api.models import is_model
from densevl.benchmarks.protocols import dotted
from densevl.benchmarks.speed.batches import BatchFigures, throughput
from densevl.benchmarks.speed.cost import measure
from densevl.benchmarks.speed.plain import PlainSegmentor
from densevl.benchmarks.speed.published import PublishedSegmentor
from densevl.benchmarks.speed.stages import Pipeline, Report, compare
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.files import expand_inputs
from densevl.core.geometry import Size
from densevl.core.images import read_image
from densevl.core.labelmap import write_label_map
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.metrics.table import Cell, Table
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["benchmark", "benchmark_batches", "configured_segmentor", "some_classes"]


TESTED = ("type", "flip", "vocabulary", "data_preprocessor", "channel_order", "seg_logits", "test_cfg")
"""Settings of a config's model that are no settings of its segmentor."""


def configured_segmentor(config: str, weights: str | None = None, **overrides: Any) -> Segmentor:
    """The segmentor of a named model or of a config file, on the CPU.

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
    model: Any = config
    if not is_model(config):
        settings = load_config(config).get("model", {}).to_dict()
        model = settings.pop("model", None)
        overrides = {**dotted({name: value for name, value in settings.items() if name not in TESTED}), **overrides}
    if model is None:
        raise UsageError(f"config {config} names no model to measure; take one such as maskclip_ade")
    if weights == "rule":
        weights, overrides = "random:0", {"templates": "none", **overrides}
    segmentor = load(model, weights=weights or overrides.pop("weights", None), device="cpu", **overrides).segmentor
    if not isinstance(segmentor, Segmentor):
        raise UsageError(
            f"{config} paints label maps region by region, which is not measured; take one such as maskclip"
        )
    return segmentor


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
    against: str | os.PathLike[str] | None = None,
    **overrides: Any,
) -> Report:
    """Measure a model against the plain implementation with the same weights, and against the published code.

    Args:
        config: a model's name, or a config file.
        weights: of the encoder: a name, a file, or ``"rule"`` for seeded random ones.
        classes: number of classes to label.
        size: of the scenes that are drawn where no images are given.
        dtypes: of the weights, one pipeline for each.
        images: image files, a folder or a glob, in the place of drawn scenes.
        count: images used.
        repetitions: how often each image is run.
        device: where the model runs.
        against: a checkout of CLIP-DINOiser's published code, which then runs first, is what all are compared with, and
            heads the report; see :mod:`densevl.benchmarks.speed.published`.
        overrides: arguments of :class:`densevl.Segmentor`.

    Raises:
        UsageError: where the config, the images, an override or the checkout cannot be used.
        WeightsError: where the weights cannot be had.
    """
    segmentor = configured_segmentor(config, weights, **overrides).to(device)
    texts = segmentor.embed(some_classes(classes))
    plain = PlainSegmentor(segmentor)
    pipelines, heading = [_simple("plain float32", plain.encode, lambda encoded: plain.label(encoded, texts))], {}
    if against is not None:
        published = PublishedSegmentor(against, segmentor, texts)
        pipelines.insert(0, _simple("published float32", published.encode, published.label))
        heading["published code at"] = published.commit
    for dtype in dtypes:
        pipelines.append(_fast(_in(copy.deepcopy(segmentor), dtype), texts, f"densevl {dtype}"))
    with tempfile.TemporaryDirectory() as folder:
        if images is None:
            files = list(_draw_scenes(Path(folder), count, size))
        else:
            files = [file.path for file in expand_inputs([images])][:count]
        figures = compare(pipelines, files, repetitions, segmentor.device)
        height, width = read_image(files[0]).shape[:2]
    setting = {
        **heading,
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
    against: str | os.PathLike[str] | None = None,
    **overrides: Any,
) -> Table:
    """Images a second of whole batches, a row for each dtype and batch, beside one image of the other implementations.

    Args:
        config: a model's name, or a config file.
        weights: of the encoder: a name, a file, or ``"rule"`` for seeded random ones.
        counts: images that are encoded together.
        classes: number of classes to label.
        size: of the scene that is drawn.
        dtypes: of the weights.
        repetitions: of each measurement.
        device: where the model runs.
        compiled: measure the image encoder through ``torch.compile`` as well; its first runs take minutes.
        against: a checkout of CLIP-DINOiser's published code, which then runs, too.
        overrides: arguments of :class:`densevl.Segmentor`.

    Raises:
        UsageError: where the config, the device, an override or the checkout cannot be used.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {device}: torch sees no GPU here; take --device cpu")
    segmentor = configured_segmentor(config, weights, **overrides).to(device)
    texts, image = segmentor.embed(some_classes(classes)), render(0, 0, size, count=(4, 10)).image
    plain = PlainSegmentor(segmentor)
    ways: dict[str, Callable[[], object]] = {"plain": lambda: plain.label(plain.encode(image), texts).cpu()}
    if against is not None:
        published = PublishedSegmentor(against, segmentor, texts)
        ways[f"published at {published.commit}"] = lambda: published.label(published.encode(image)).cpu()
    alone = {name: cost.median for name, cost in measure(ways, repetitions, segmentor.device).items()}
    rows: list[tuple[str, Sequence[Cell]]] = []
    for name, seconds in alone.items():
        times = [f"{other / seconds:.1f}×" for other in alone.values()]
        rows.append((f"{name}, float32", ["1", f"{1 / seconds:.2f}", *["–"] * 4, *times]))
    if compiled and "int8" in dtypes:
        raise UsageError("int8 is not compiled; leave out --compiled, or take --dtype bfloat16")
    for dtype in dtypes:
        made = _in(copy.deepcopy(segmentor), dtype)
        for way in ("", ", compiled")[: 1 + compiled]:
            if way:
                made.dense.compile()
            for figures in throughput(made, texts, image, counts, repetitions):
                rows.append((f"densevl, {dtype}{way}", _cells(figures, list(alone.values()))))
    where = torch.cuda.get_device_name() if segmentor.device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    note = (
        f"{config}, {segmentor.encoder.model_id}, {classes} classes, {size[0]}×{size[1]}, window {segmentor.window}, "
        f"stride {segmentor.stride}, medians of {repetitions} runs, {where}, torch {torch.__version__}; from pixels to "
        "labels, without files; encode and label: ms an image; matrix rate: the share that encoding reaches of that of "
        "a large product in the same dtype, measured in the same run"
    )
    columns = ("images/s", "encode", "label", "peak MiB", "matrix rate", *(f"× {name}" for name in alone))
    return Table(("", "batch", *columns), rows, note)


def _cells(figures: BatchFigures, alone: Sequence[float]) -> list[Cell]:
    """What a row says of a batch.

    Args:
        figures: of the batch.
        alone: seconds an image of the implementations that it is compared with.
    """
    rate, each = figures.images_per_second, 1e3 / figures.batch
    return [
        str(figures.batch),
        f"{rate:.2f}",
        f"{each * figures.encode:.2f}",
        f"{each * figures.label:.2f}",
        f"{figures.mebibytes:.0f}",
        f"{figures.utilisation:.1%}",
        *(f"{rate * seconds:.1f}×" for seconds in alone),
    ]


def _in(segmentor: Segmentor, dtype: str) -> Segmentor:
    """A segmentor in a dtype, on the device where it is."""
    return place(segmentor, segmentor.device, choose_dtype(dtype, segmentor.device))


def _fast(segmentor: Segmentor, texts: TextEmbeddings, name: str) -> Pipeline:
    def label(encoded: Any) -> np.ndarray:
        return segmentor.label(encoded, texts)[0].cpu().numpy()

    def write(path: Path, labels: np.ndarray) -> None:
        write_label_map(path, labels, texts.vocabulary.palette)

    return Pipeline(name, read_image, lambda image: segmentor.encode([image])[0], label, write)


def _simple(name: str, encode: Callable[[np.ndarray], Any], label: Callable[[Any], Tensor]) -> Pipeline:
    """An implementation that reads and writes files in the plainest way."""

    def decode(path: Path) -> np.ndarray:
        return np.array(Image.open(path).convert("RGB"))

    def write(path: Path, labels: np.ndarray) -> None:
        Image.fromarray(labels.astype(np.uint16 if labels.max() > 255 else np.uint8)).save(path)

    return Pipeline(name, decode, encode, lambda encoded: label(encoded).cpu().numpy(), write)


def some_classes(classes: int) -> Vocabulary:
    """Classes with names of one word or two, as benchmarks have them.

    Args:
        classes: their number.
    """
    names = Vocabulary.load("ade20k").names
    return Vocabulary.from_classes(
        [names[i] if i < len(names) else f"{names[i % len(names)]} {i}" for i in range(classes)]
    )


def _draw_scenes(folder: Path, count: int, size: Size) -> Iterator[Path]:
    """Scenes as JPEG files."""
    for index in range(count):
        path = folder / f"{index}.jpg"
        Image.fromarray(render(0, index, size, count=(4, 10)).image).save(path, quality=95)
        yield path
