"""Ranked regions drawn for people."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from densevl.core.drawing.legend import LegendEntry, attach_legend, letter_size
from densevl.core.drawing.lettering import ink_on, letter, line_height, write
from densevl.core.drawing.overlay import LEAST_SIDE
from densevl.core.palette import palette
from densevl.tasks.grounding.grounding import Grounding

__all__ = ["draw_ranking"]

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]

_RIM = (20, 20, 20)
"""Colour of the rim that shows a line on any ground."""

PALER = 0.6
"""Fraction of its own colour that the image keeps outside of the best region."""


def draw_ranking(image: UInt8[np.ndarray, "H W 3"], grounding: Grounding, top: int = 5) -> UInt8[np.ndarray, "h w 3"]:
    """The best regions drawn on the image, with a legend of their ranks, probabilities and boxes.

    The best one has the thickest line; where it has a mask, the mask is outlined, and all else is paler. Images below
    320 pixels are enlarged by a whole factor first.

    Args:
        image: the image.
        grounding: the regions, ranked.
        top: how many are drawn.
    """
    factor = math.ceil(LEAST_SIDE / max(image.shape[:2]))
    chosen = grounding.ranking[:top]
    colours = palette(len(chosen) + 1)[1:]  # the first one is too dark for lines
    picture = image.repeat(factor, 0).repeat(factor, 1)
    size = letter_size(picture)
    if grounding.mask is not None:
        _draw_mask(picture, grounding.mask.repeat(factor, 0).repeat(factor, 1), colours[0], max(2, size // 7))
    boxes: list[Box] = []
    for index in chosen:
        x0, y0, x1, y1 = (round(factor * value) for value in grounding.regions.boxes[index].tolist())
        boxes.append((x0, y0, x1, y1))
    for rank in range(len(chosen) - 1, -1, -1):
        _draw_box(picture, boxes[rank], colours[rank], max(2, size // 4 if rank == 0 else size // 8))
    taken: list[Box] = []
    for rank, box in enumerate(boxes):
        taken.append(_draw_tag(picture, box, str(rank + 1), colours[rank], size, taken))
    entries = [
        LegendEntry(_percent(grounding, index), _corners(grounding, index), colour, str(rank + 1))
        for rank, (index, colour) in enumerate(zip(chosen, colours, strict=True))
    ]
    return attach_legend(picture, entries, grounding.expression + (" (doubtful)" if grounding.doubtful else ""))


def _percent(grounding: Grounding, index: int) -> str:
    return f"{100 * float(grounding.probabilities[index]):.1f} %"


def _corners(grounding: Grounding, index: int) -> str:
    """A box as a text."""
    return f"({', '.join(f'{value:.0f}' for value in grounding.regions.boxes[index].tolist())})"


def _draw_mask(picture: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"], colour: Colour, width: int) -> None:
    """Make all but a mask paler and outline it, with a dark rim that shows on any ground."""
    inside = mask.view(np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    paler = cv2.addWeighted(picture, PALER, grey, (1 - PALER) / 2, 255 * (1 - PALER) / 2)
    cv2.copyTo(paler, 1 - inside, picture)
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, _RIM, width + 2, cv2.LINE_AA)
    cv2.drawContours(picture, outlines, -1, colour, width, cv2.LINE_AA)


def _draw_box(picture: UInt8[np.ndarray, "H W 3"], box: Box, colour: Colour, width: int) -> None:
    """A line inside the box, with a dark rim that shows on any ground."""
    x0, y0, x1, y1 = box
    inner = (x0 + width // 2, y0 + width // 2), (x1 - 1 - width // 2, y1 - 1 - width // 2)
    cv2.rectangle(picture, *inner, _RIM, width + 2)
    cv2.rectangle(picture, *inner, colour, width)


def _draw_tag(
    picture: UInt8[np.ndarray, "H W 3"], box: Box, text: str, colour: Colour, size: int, taken: list[Box]
) -> Box:
    """A plate with the rank at a corner of a box, the first one where none is yet; gives the place of the plate."""
    ink = letter(text, size, 4 * size)
    height, width = line_height(size), ink.shape[1] + size
    corners = [(x, y) for y in (box[1], box[3] - height) for x in (box[0], box[2] - width)]
    inside = [(max(0, min(x, picture.shape[1] - width)), max(0, min(y, picture.shape[0] - height))) for x, y in corners]
    places = [(x, y, x + width, y + height) for x, y in inside]
    x0, y0, x1, y1 = place = next((one for one in places if not any(_overlap(one, two) for two in taken)), places[0])
    cv2.rectangle(picture, (x0 - 1, y0 - 1), (x1, y1), _RIM, cv2.FILLED)
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), colour, cv2.FILLED)
    write(picture, ink, y0, x0 + (width - ink.shape[1]) // 2, ink_on(colour))
    return place


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
