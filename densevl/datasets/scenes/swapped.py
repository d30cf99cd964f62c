"""Two scenes that the same words describe: what one thing is in the first, the other is in the second.

Both are drawn on the same ground, with things of the same sizes in the same two places, so that nothing but the swap
tells them apart.
"""

import zlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from densevl.core.errors import UsageError, suggestion
from densevl.datasets.scenes.scene import COLOURS, Scene, SceneObject, compose, draw_ground
from densevl.datasets.scenes.shapes import SHAPES

__all__ = ["SWAPS", "SwappedScenes", "swapped_scenes"]

Swap = Literal["colours", "shapes", "places"]
SWAPS: tuple[str, ...] = get_args(Swap)
"""What is swapped."""

RADII = (0.15, 0.22)
"""Radius of a thing, as a fraction of the side."""


@dataclass(frozen=True, eq=False)
class SwappedScenes:
    """Two scenes, and the caption that is true of each.

    Attributes:
        scenes: each with two objects.
        captions: such as "a red ring and a blue square"; where places are swapped, "a red ring left of a blue square".
        phrases: the things that each caption names, in their order.
    """

    scenes: tuple[Scene, Scene]
    captions: tuple[str, str]
    phrases: tuple[tuple[str, str], tuple[str, str]]


def swapped_scenes(swap: str, seed: int, index: int, size: int = 128) -> SwappedScenes:
    """Draw two scenes, the same for ever.

    Args:
        swap: one of :data:`SWAPS`. Colours and shapes give the same captions; they differ in which of the two things
            stays in its place.
        seed: number of the collection.
        index: number of the two in it.
        size: side of the square images.

    Raises:
        UsageError: where the swap is unknown.
    """
    if swap not in SWAPS:
        raise UsageError(f"swap {swap!r} is unknown; {suggestion(swap, SWAPS)}")
    own = [seed, index, zlib.crc32(swap.encode())]
    rng = np.random.default_rng(own)
    image, ground = draw_ground(rng, (size, size), float(size))
    (red, blue), (ring, square) = (rng.permutation(list(words))[:2].tolist() for words in (COLOURS, SHAPES))
    upright = bool(rng.integers(2))
    places, radii = [], []
    for low in (0.26, 0.66):
        along, across = size * rng.uniform(low, low + 0.08), size * rng.uniform(0.3, 0.7)
        places.append((across, along) if upright else (along, across))
        radii.append(size * rng.uniform(*RADII))
    swapped = {
        "colours": ((blue, ring), (red, square)),
        "shapes": ((red, square), (blue, ring)),
        "places": ((blue, square), (red, ring)),
    }[swap]
    scenes, captions, phrases = [], [], []
    for things in (((red, ring), (blue, square)), swapped):
        objects = [
            _placed(colour, shape, place, radius)
            for (colour, shape), place, radius in zip(things, places, radii, strict=True)
        ]
        scenes.append(compose(np.random.default_rng(own), image, ground, objects))
        first, second = (f"{colour} {shape}" for colour, shape in things)
        if swap == "shapes" and things is swapped:
            first, second = second, first  # each caption names the ring first
        joint = ("above" if upright else "left of") if swap == "places" else "and"
        captions.append(f"{_article(first)} {joint} {_article(second)}")
        phrases.append((first, second))
    return SwappedScenes((scenes[0], scenes[1]), (captions[0], captions[1]), (phrases[0], phrases[1]))


def _placed(colour: str, shape: str, centre: tuple[float, float], radius: float) -> SceneObject:
    empty = np.zeros((0, 0), bool)
    return SceneObject(shape, colour, "medium", centre, radius, 0.0, "", empty, (0, 0, 0, 0), 1.0, True)


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
