"""Ranked regions drawn for people."""

import math

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.lettering import letter, line_height, write
from densevl.core.drawing.overlay import LEAST_LETTER, LEAST_SIDE, LegendEntry, attach_legend
from densevl.core.palette import palette
from densevl.tasks.grounding.grounding import Grounding

__all__ = ["draw_ranking"]

_RIM = (20, 20, 20)
"""Colour of the rim that shows a line on any ground."""


def draw_ranking(image: UInt8[np.ndarray, "H W 3"], grounding: Grounding, top: int = 5) -> UInt8[np.ndarray, "h w 3"]:
    """The best regions drawn on the image, with a legend of their probabilities.

    The best one has the thickest line, and its mask is outlined where there is one. Images below 320 pixels are
    enlarged by a whole factor first.

    Args:
        image: the image.
        grounding: the regions, ranked.
        top: how many are drawn.
    """
    factor = math.ceil(LEAST_SIDE / max(image.shape[:2]))
    chosen = grounding.ranking[:top]
    colours = palette(max(2, len(chosen)))
    picture = image.repeat(factor, 0).repeat(factor, 1)
    size = max(LEAST_LETTER, round(0.026 * math.sqrt(picture.shape[0] * picture.shape[1])))
    if grounding.mask is not None:
        inside = grounding.mask.repeat(factor, 0).repeat(factor, 1).view(np.uint8)
        outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for colour, width in ((_RIM, max(1, size // 6) + 2), (colours[0], max(1, size // 6))):
            cv2.drawContours(picture, outlines, -1, colour, width)
    for rank in range(len(chosen) - 1, -1, -1):
        box = [round(factor * value) for value in grounding.regions.boxes[chosen[rank]].tolist()]
        _draw_box(picture, box, colours[rank], max(1, size // 6) * (2 if rank == 0 else 1))
        _draw_tag(picture, box, str(rank + 1), colours[rank], size)
    entries = [LegendEntry(grounding.expression + (" (doubtful)" if grounding.doubtful else ""), "", None)]
    for rank, index in enumerate(chosen):
        probability = float(grounding.probabilities[index])
        entries.append(LegendEntry(f"{rank + 1}: region {index}", f"{100 * probability:.1f} %", colours[rank]))
    return attach_legend(picture, entries)


def _draw_box(picture: np.ndarray, box: list[int], colour: tuple[int, int, int], width: int) -> None:
    """A line inside the box, with a dark rim that shows on any ground."""
    x0, y0, x1, y1 = box
    inner = (x0 + width // 2, y0 + width // 2), (x1 - 1 - width // 2, y1 - 1 - width // 2)
    cv2.rectangle(picture, *inner, _RIM, width + 2)
    cv2.rectangle(picture, *inner, colour, width)


def _draw_tag(picture: np.ndarray, box: list[int], text: str, colour: tuple[int, int, int], size: int) -> None:
    """A plate with the rank at the upper left corner of a box."""
    ink = letter(text, size, 4 * size)
    height, width = line_height(size), ink.shape[1] + size // 2
    y, x = max(0, min(box[1], picture.shape[0] - height)), max(0, min(box[0], picture.shape[1] - width))
    plate = picture[y : y + height, x : x + width]
    plate[:] = colour
    tone = 255 if sum(colour) < 380 else 0
    write(plate, ink, 0, (width - ink.shape[1]) // 2, (tone, tone, tone))
