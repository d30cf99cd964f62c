"""Scenes whose images are changed as a camera or an unknown world would change them, with the same truth.

A *shift* keeps every mask, box and name: a classifier that was taught on clean scenes can be measured on it, and one
that is taught on a few shifted examples can show what these are worth.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import UsageError, suggestion
from densevl.datasets.scenes.scene import Scene, Split, render

__all__ = ["SHIFTS", "shifted_scene"]

NOISE, BLUR = 70.0, 2.5
"""Standard deviations: of the noise in levels of 255, of the blur in pixels of a scene of 128 pixels."""

Pixels = UInt8[np.ndarray, "H W 3"]


def _noisy(image: Pixels, rng: np.random.Generator) -> Pixels:
    noisy = image + NOISE * rng.standard_normal(image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _blurred(image: Pixels, rng: np.random.Generator) -> Pixels:
    return cv2.GaussianBlur(image, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT_101)


def _grey(image: Pixels, rng: np.random.Generator) -> Pixels:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _same(image: Pixels, rng: np.random.Generator) -> Pixels:
    return image


SHIFTS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "clean": _same,
    "noise": _noisy,
    "blur": _blurred,
    "grey": _grey,
    "new colours": _same,
}
"""Changes of the pixels by the name of the shift; *new colours* changes what is drawn instead."""


def shifted_scene(shift: str, seed: int, index: int, size: int | tuple[int, int] = 128, split: Split = "val") -> Scene:
    """Draw a scene and shift its image, the same for ever.

    Args:
        shift: one of :data:`SHIFTS`.
        seed: number of the collection.
        index: number of the scene in it.
        size: side of a square image, or (height, width).
        split: see :func:`densevl.datasets.scenes.render`.

    Raises:
        UsageError: where the shift is unknown.
    """
    if shift not in SHIFTS:
        raise UsageError(f"shift {shift!r} is unknown; {suggestion(shift, SHIFTS)}")
    scene = render(seed, index, size, split, new_colours=shift == "new colours")
    rng = np.random.default_rng([seed, index, zlib.crc32(shift.encode())])
    return replace(scene, image=SHIFTS[shift](scene.image, rng))
