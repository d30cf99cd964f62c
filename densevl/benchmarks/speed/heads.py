"""Time of dense heads beside MaskCLIP's readout, and memory of large vocabularies beside scores of all classes."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from densevl.benchmarks.speed.cost import measure
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts import READOUTS
from densevl.encoders.loading import build_clip
from densevl.metrics.table import Table
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["benchmark_heads", "benchmark_vocabulary"]

ARCH = "ViT-B-16-quickgelu"


def benchmark_heads(
    readouts: Sequence[str] | None = None,
    arch: str = ARCH,
    size: Size = (224, 224),
    count: int = 4,
    repetitions: int = 5,
) -> Table:
    """Measure readouts in turn on the same windows, MaskCLIP's first, each with the whole tower.

    Args:
        readouts: names; None for all that read one encoder and no text.
        arch: of the CLIP, whose weights are random.
        size: (height, width) of the windows.
        count: windows that go through together.
        repetitions: of each measurement; one more comes first and is not counted.

    Returns:
        A row for each readout: milliseconds of processor time a window, and percent over MaskCLIP's, both medians of
        runs taken in turn.
    """
    encoder = build_clip("random:0", arch, text_cache=False)
    names = list(_alone() if readouts is None else readouts)
    images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))
    heads = {
        name: DenseEncoder(encoder, name, positions="plus", border="drop")
        for name in dict.fromkeys(["maskclip", *names])
    }
    costs = measure({name: _of(head, images) for name, head in heads.items()}, repetitions, clock=time.process_time)
    base = costs["maskclip"].seconds
    rows = []
    for name in heads:
        over = sorted(100 * (own / other - 1) for own, other in zip(costs[name].seconds, base, strict=True))
        rows.append((name, (1e3 * costs[name].median / count, over[len(over) // 2])))
    note = (
        f"medians of {repetitions} runs in turn, {count} windows of {size[1]}×{size[0]} through {arch} with random "
        "weights, time of the processor"
    )
    return Table(("readout", "ms a window", "% over maskclip"), rows, note)


def _alone() -> list[str]:
    """The readouts that can be built without an argument, and need no other model, no text and no neighbours."""
    found = []
    for name in READOUTS.names:
        try:
            needs = build(READOUTS, name).needs
        except (TypeError, UsageError):  # one that asks for a guide or regions
            continue
        if not (needs.texts or needs.windows or needs.guide):
            found.append(name)
    return found


def _of(head: DenseEncoder, images: torch.Tensor) -> Any:
    return lambda: head(images)


def benchmark_vocabulary(classes: int = 847, size: Size = (512, 683), repetitions: int = 1) -> Table:
    """Measure labels where logits are averaged: by the scores of all classes, and by a few classes at a time.

    Args:
        classes: number of classes, one query each.
        size: (height, width) of the image.
        repetitions: of each measurement; one more comes first and is not counted.

    Returns:
        A row for each way: seconds of processor time, and mebibytes that it adds at its peak.
    """
    rows = []
    for title, stages in (("cosines alone", []), ("with PAMR, one step", [{"type": "pamr", "steps": 1}])):
        encoder = build_clip("mini-clip", text_cache=False)
        segmentor = Segmentor(encoder, short_side=128, window=96, stride=48, average="logits", stages=stages)
        generator = torch.Generator().manual_seed(0)
        vectors = torch.nn.functional.normalize(torch.randn(classes, encoder.dim, generator=generator), dim=1)
        words = tuple((f"class {number}",) for number in range(classes))
        texts = TextEmbeddings(
            vectors, torch.arange(classes), Vocabulary("drawn", words), encoder.model_id, segmentor.templates
        )
        image = torch.rand(3, 128, 171, generator=generator)
        encoded = segmentor.encode_resized([image], [size])[0]
        work = {
            "scores of all classes": lambda: segmentor.scores(encoded, texts).max(dim=0),  # noqa: B023
            "a few at a time": lambda: segmentor.label(encoded, texts),  # noqa: B023
        }
        costs = measure(work, repetitions, clock=time.process_time)
        for way, cost in costs.items():
            rows.append((f"{way}, {title}", (cost.median, max(cost.added) / 2**20)))
    note = f"{classes} classes, an image of {size[1]}×{size[0]}, medians of {repetitions} runs, time of the processor"
    return Table(("labels by", "s", "MiB added"), rows, note)
