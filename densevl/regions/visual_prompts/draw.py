"""Drawing visual prompts for people and for encoders."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from densevl.core.regions import Regions
from densevl.regions.visual_prompts.byte_canvas import ByteCanvas
from densevl.regions.visual_prompts.canvas import Canvas, check_drawable
from densevl.regions.visual_prompts.compatible import CompatibleCanvas
from densevl.regions.visual_prompts.table import Style, VisualPrompt, visual_prompt

__all__ = ["AT_ONCE", "canvas", "draw", "marked_batches", "marked_by_each"]

AT_ONCE = 32
"""Marked images that are held at the same time."""


def canvas(image: UInt8[np.ndarray, "H W 3"] | Shaped[Tensor, "3 H W"], size: int | None, style: Style) -> Canvas:
    """A surface for the regions of an image; keep it to draw several visual prompts with one blur
    (:func:`marked_by_each`).

    Args:
        image: RGB.
        size: short side that the image is brought to; None for its own.
        style: colours and strengths.
    """
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(image).permute(2, 0, 1)
    if style.compatible:
        return CompatibleCanvas(image, size, style)
    in_memory = image.dtype == torch.uint8 and image.device.type == "cpu"
    return (ByteCanvas if in_memory else Canvas)(image, size, style)


@overload
def draw(  # type: ignore[overload-overlap]
    image: UInt8[np.ndarray, "H W 3"],
    regions: Regions,
    name: str | VisualPrompt,
    size: int | None = None,
    style: Style = ...,
) -> UInt8[np.ndarray, "n h w 3"]: ...
@overload
def draw(
    image: Shaped[Tensor, "3 H W"],
    regions: Regions,
    name: str | VisualPrompt,
    size: int | None = None,
    style: Style = ...,
) -> Shaped[Tensor, "n 3 h w"]: ...
def draw(
    image: UInt8[np.ndarray, "H W 3"] | Shaped[Tensor, "3 H W"],
    regions: Regions,
    name: str | VisualPrompt,
    size: int | None = None,
    style: Style = Style(),  # noqa: B008  (frozen)
) -> UInt8[np.ndarray, "n h w 3"] | Shaped[Tensor, "n 3 h w"]:
    """Mark each region on a copy of the image.

    The image is brought to ``size`` first and drawn on afterwards, so that lines keep their width. Whole images keep
    their ratio; crops are squashed to a square. For thousands of regions take :func:`marked_batches`.

    Args:
        image: RGB; an array gives arrays, a tensor (uint8, or float in [0, 1], on any device) gives tensors.
        regions: of the image, in its pixels.
        name: a name of :data:`VISUAL_PROMPTS`, or one of your own.
        size: short side of the marked images; None for that of the image.
        style: colours and strengths.

    Returns:
        One image a region. A region whose mask is empty is marked by its box.

    Raises:
        UsageError: where the name is unknown, the regions are of another image, or masks are missing.
    """
    batches = list(marked_batches(image, regions, name, size, style))
    drawn = batches[0] if len(batches) == 1 else torch.cat(batches)
    return drawn.permute(0, 2, 3, 1).contiguous().numpy() if isinstance(image, np.ndarray) else drawn


def marked_batches(
    image: UInt8[np.ndarray, "H W 3"] | Shaped[Tensor, "3 H W"] | Canvas,
    regions: Regions,
    name: str | VisualPrompt,
    size: int | None = None,
    style: Style = Style(),  # noqa: B008  (frozen)
    at_once: int = AT_ONCE,
) -> Iterator[Shaped[Tensor, "n 3 h w"]]:
    """The marked images of any number of regions, a few at a time, channels first.

    Args:
        image: RGB, an array or a tensor, or a canvas, whose size and style then count.
        at_once: marked images in a batch.

    Raises:
        UsageError: as :func:`draw`.
    """
    surface = image if isinstance(image, Canvas) else canvas(image, size, style)
    for _, pictures in marked_by_each(surface, regions, [name], at_once):
        yield pictures


def marked_by_each(
    surface: Canvas, regions: Regions, names: Sequence[str | VisualPrompt], at_once: int = AT_ONCE
) -> Iterator[tuple[VisualPrompt, Shaped[Tensor, "n 3 h w"]]]:
    """A few regions marked with each visual prompt in turn, then the next few.

    In this order every mask is brought to the size of the image once for all visual prompts.

    Args:
        surface: made of the image by :func:`canvas`.
        regions: of the image.
        names: of visual prompts.
        at_once: marked images in a batch.

    Raises:
        UsageError: as :func:`draw`.
    """
    prompts = [visual_prompt(name) for name in names]
    for prompt in prompts:
        check_drawable(regions, surface.given_size, prompt)
    regions = regions.to(surface.image.device)
    for start in range(0, max(1, len(regions)), at_once):
        few = regions[start : start + at_once]
        for prompt in prompts:
            yield prompt, surface.draw(few, prompt)
