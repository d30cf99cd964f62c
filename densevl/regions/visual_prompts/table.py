"""The visual prompts by name, and how they look.

A visual prompt is a few words of data: what is seen of the image (``frame``), which pixels belong to the region
(``area``), what they and all others become (``inside``, ``outside``), and whether the area is outlined. The drawing is
the same for all of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from densevl.core.errors import UsageError, suggestion

__all__ = ["COLOURS", "VISUAL_PROMPTS", "Colour", "Style", "VisualPrompt", "colour", "visual_prompt"]

Colour = tuple[int, int, int]
"""RGB in 0..255."""

NATIVE = 384
"""Short side at which lengths of a style are given."""

_DATA = json.loads((Path(__file__).parents[2] / "data" / "visual_prompts.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class VisualPrompt:
    """A drawing for one region.

    Attributes:
        name: as in the published code.
        paper: as in the paper's figure.
        area: pixels of the region: its box, the ellipse in the box, its mask, or a small disc at the box's centre.
        frame: ``"image"``, all of it, ``"crop"``, what the box holds, or ``"square"``, the smallest square round the
            box, moved into the image: nothing is squashed, and beside the box it shows what lies round it.
        inside: what the pixels of the area become: ``"image"`` (they stay) or ``"tint"``.
        outside: what all others become: ``"image"``, ``"tint"``, ``"grey"``, ``"blur"`` or ``"flat"`` (one colour).
        outline: whether a line is drawn round the area.
    """

    name: str
    paper: str
    area: Literal["box", "circle", "mask", "point"]
    frame: Literal["image", "crop", "square"] = "image"
    inside: Literal["image", "tint"] = "image"
    outside: Literal["image", "tint", "grey", "blur", "flat"] = "image"
    outline: bool = False

    @property
    def needs_masks(self) -> bool:
        """True where boxes alone are not enough to draw it."""
        return self.area == "mask"


@dataclass(frozen=True)
class Style:
    """Colours and strengths of visual prompts.

    Lengths are given at a short side of 384 pixels and scale with the image, so that a style means the same at
    every size.

    Attributes:
        line: colour of outlines, a name of :data:`COLOURS` or RGB.
        fill: colour of tints.
        flat: colour of a flat outside; that of the mean CLIP image, so that it says nothing.
        thickness: of outlines; at least one pixel is drawn.
        alpha: how much of its colour a tint has, in [0, 1].
        blur: standard deviation of the Gaussian.
        margin: how far a crop reaches beyond its box on each side, as a fraction of the box's side; a square is then
            that round the larger box.
        compatible: draw as the published code does, to the byte: thickness and blur in pixels at any size, PIL's
            approximate Gaussian, red and blue swapped in the weights of grey, flat in the colour of tints, shapes as
            OpenCV rasters them, no margin.

    Raises:
        UsageError: where a colour is unknown or a number is out of range.
    """

    line: str | Colour = "red"
    fill: str | Colour = "green"
    flat: str | Colour = "grey"
    thickness: int | float = 2
    alpha: int | float = 0.5
    blur: int | float = 100
    margin: int | float = 0
    compatible: bool = False

    def __post_init__(self) -> None:
        for name in (self.line, self.fill, self.flat):
            colour(name)
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha must lie between 0 and 1; got {self.alpha}")
        for name, value in (("thickness", self.thickness), ("blur", self.blur), ("margin", self.margin)):
            if not 0 <= value < float("inf"):
                raise UsageError(f"{name} must be a number not below 0; got {value}")
        if self.compatible and self.margin:
            raise UsageError("the published crops have no margin; leave out either margin or compatible")


def colour(name: str | Colour) -> Colour:
    """RGB of a named colour, or the RGB that is given.

    Raises:
        UsageError: where the name is unknown or a value is not in 0..255.
    """
    if isinstance(name, str):
        if name not in COLOURS:
            raise UsageError(f"colour {name!r} is unknown; {suggestion(name, COLOURS)}")
        return COLOURS[name]
    if len(name) != 3 or not all(0 <= value <= 255 for value in name):
        raise UsageError(f"a colour is a name or three values in 0..255; got {name!r}")
    return tuple(name)  # type: ignore[return-value]


def visual_prompt(name: str | VisualPrompt) -> VisualPrompt:
    """The visual prompt of a name; one that is given is returned as it is.

    Raises:
        UsageError: where the name is unknown.
    """
    if isinstance(name, VisualPrompt):
        return name
    if name not in VISUAL_PROMPTS:
        raise UsageError(f"visual prompt {name!r} is unknown; {suggestion(name, VISUAL_PROMPTS)}")
    return VISUAL_PROMPTS[name]


COLOURS: Mapping[str, Colour] = MappingProxyType({name: tuple(rgb) for name, rgb in _DATA["colours"].items()})
"""RGB by name."""

VISUAL_PROMPTS: Mapping[str, VisualPrompt] = MappingProxyType(
    {name: VisualPrompt(name, **fields) for name, fields in _DATA["visual_prompts"].items()}
)
"""Every visual prompt by its name in the published code."""
