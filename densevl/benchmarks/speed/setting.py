"""What is measured: a model, classes, and images."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from densevl.api.models import models
from densevl.api.segmentor_building import build_segmentor
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["configured_segmentor", "draw_scenes", "parse_size", "some_classes"]


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
    chosen = config if config in models() else load_config(config).get("model", {}).get("model")
    if chosen is None:
        raise UsageError(f"config {config} names no model to measure; take one such as maskclip_ade")
    if weights == "rule":
        weights, overrides = "random:0", {"templates": "none", **overrides}
    return build_segmentor(chosen, weights, **overrides)


def some_classes(classes: int) -> Vocabulary:
    """That many classes with names of one word or two, as benchmarks have them."""
    names = Vocabulary.load("ade20k").names
    return Vocabulary.from_classes(
        [names[i] if i < len(names) else f"{names[i % len(names)]} {i}" for i in range(classes)]
    )


def draw_scenes(folder: Path, count: int, size: Size) -> Iterator[Path]:
    """Scenes as JPEG files."""
    for index in range(count):
        path = folder / f"{index}.jpg"
        Image.fromarray(render(0, index, size, count=(4, 10)).image).save(path, quality=95)
        yield path


def parse_size(text: str) -> Size:
    """(height, width) of a text such as ``512x683``.

    Raises:
        UsageError: where it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"write a size as HEIGHTxWIDTH, such as 512x683; got {text!r}")
    return int(match[1]), int(match[2])
