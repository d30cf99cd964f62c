"""The six textured grounds of the scenes.

Each texture is drawn once for a process, from a fixed seed, on a tile that is two image sides wide; a ground is a
random cut of the tile, resized to the image's scale and mirrored where the image is larger than the tile.
"""

import functools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from densevl.core.errors import UsageError

__all__ = ["GROUNDS", "ground_patch", "ground_tile", "rgb"]

GROUNDS = ("grass", "sand", "water", "brick", "wood", "stone")
TILE = 1024
"""Side of a tile in pixels; it spans two short sides of an image."""
FloatArray = NDArray[np.float32]


def rgb(red: int | float, green: int | float, blue: int | float) -> FloatArray:
    """A colour in [0, 255] that broadcasts over images."""
    return np.array((red, green, blue), np.float32)


def _noise(rng: np.random.Generator, cells_x: int, cells_y: int | None = None) -> FloatArray:
    """Smooth noise of about unit variance with the given number of waves across the tile."""
    coarse = rng.standard_normal((cells_y or cells_x, cells_x)).astype(np.float32)
    field = cv2.resize(coarse, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / field.std()


def _blend(low: tuple[int, int, int], high: tuple[int, int, int], amount: FloatArray) -> FloatArray:
    amount = np.clip(amount, 0, 1)[..., None]
    return rgb(*low) * (1 - amount) + rgb(*high) * amount


def _grass(rng: np.random.Generator) -> FloatArray:
    tile = _blend((48, 92, 34), (74, 122, 46), 0.5 + 0.3 * _noise(rng, 24))
    for _ in range(14000):
        x, y = rng.uniform(-20, TILE + 20, 2)
        length, lean = rng.uniform(12, 34), rng.normal(0, 0.4)
        colour = rgb(88, 140, 52) * rng.uniform(0.6, 1.35) + rgb(rng.uniform(-14, 26), 0, 0)
        tip = (round(x + np.sin(lean) * length), round(y - np.cos(lean) * length))
        cv2.line(tile, (round(x), round(y)), tip, colour.tolist(), 2 if rng.random() < 0.7 else 3, cv2.LINE_AA)
    return tile


def _sand(rng: np.random.Generator) -> FloatArray:
    y = np.arange(TILE, dtype=np.float32)[:, None] / TILE
    ripples = np.sin(2 * np.pi * (22 * y + 0.55 * _noise(rng, 7)) + 0.4 * _noise(rng, 20))
    tile = _blend((196, 164, 112), (226, 200, 150), 0.5 + 0.28 * ripples + 0.12 * _noise(rng, 10))
    grains = rng.standard_normal((TILE, TILE)).astype(np.float32)
    return tile + (9 * cv2.GaussianBlur(grains, (0, 0), 0.8) + 10 * cv2.GaussianBlur(grains, (0, 0), 1.6))[..., None]


def _water(rng: np.random.Generator) -> FloatArray:
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    bend = 0.5 * _noise(rng, 9) + 0.25 * _noise(rng, 20)
    waves = np.sin(2 * np.pi * (15 * y + 1.4 * x + bend)) + 0.7 * np.sin(2 * np.pi * (23 * y - 4 * x - 1.3 * bend))
    crests = np.clip(waves - 0.85, 0, None) ** 1.5
    tile = _blend((22, 84, 132), (54, 138, 178), 0.5 + 0.25 * waves + 0.12 * _noise(rng, 5))
    return tile + rgb(130, 130, 120) * np.clip(crests, 0, 0.75)[..., None]


def _brick(rng: np.random.Generator) -> FloatArray:
    tile = np.full((TILE, TILE, 3), (176, 166, 152), np.float32)
    height, width, joint = 40, 96, 6
    for row, top in enumerate(range(0, TILE, height)):
        for left in range(-(width // 2) * (row % 2), TILE, width):
            colour = rgb(158, 74, 54) * rng.uniform(0.78, 1.16) + rng.uniform(-6, 6, 3).astype(np.float32)
            corner = (left + joint, top + joint)
            cv2.rectangle(tile, corner, (left + width - 1, top + height - 1), colour.tolist(), -1)
            cv2.line(tile, corner, (left + width - 1, top + joint), (colour * 1.18).tolist(), 2)
            cv2.line(
                tile, (left + joint, top + height - 1), (left + width - 1, top + height - 1), (colour * 0.7).tolist(), 2
            )
    return tile * (1 + 0.05 * _noise(rng, 200) + 0.03 * _noise(rng, 30))[..., None]


def _wood(rng: np.random.Generator) -> FloatArray:
    tile = np.empty((TILE, TILE, 3), np.float32)
    y = np.arange(TILE, dtype=np.float32)[:, None] / TILE
    fibres, bend = _noise(rng, 10, 400), _noise(rng, 4, 8)
    plank = 128
    for top in range(0, TILE, plank):
        rows = slice(top, top + plank)
        grain = np.sin(2 * np.pi * (rng.uniform(26, 44) * y[rows] + 0.8 * bend[rows] + rng.uniform()))
        shade = 0.5 + 0.22 * grain + 0.16 * fibres[rows]
        tile[rows] = _blend((112, 70, 38), (168, 116, 70), shade) * rng.uniform(0.86, 1.12)
        tile[top : top + 5] *= 0.45
    return tile


def _stone(rng: np.random.Generator) -> FloatArray:
    step = 80
    seeds = np.full((TILE, TILE), 255, np.uint8)
    for y in range(step // 2, TILE, step):
        for x in range(step // 2, TILE, step):
            dy, dx = rng.integers(-28, 29, 2)
            seeds[np.clip(y + dy, 0, TILE - 1), np.clip(x + dx, 0, TILE - 1)] = 0
    _, cell = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    gap = (cv2.Laplacian(cell.astype(np.float32), cv2.CV_32F) == 0).astype(np.uint8)
    depth = cv2.distanceTransform(gap, cv2.DIST_L2, 5)
    tone = rng.uniform(0.72, 1.14, int(cell.max()) + 1).astype(np.float32)[cell]
    dome = np.clip((depth - 3) / 22, 0, 1) ** 0.6
    slope = cv2.GaussianBlur(depth, (0, 0), 3)
    light = slope - np.roll(slope, (-4, -4), (0, 1))
    grey = tone * (92 + 62 * dome) - 2.2 * light + 5 * _noise(rng, 160)
    return grey[..., None] * rgb(1.0, 0.99, 0.96)


PAINTERS: dict[str, Callable[[np.random.Generator], FloatArray]] = {
    "grass": _grass, "sand": _sand, "water": _water, "brick": _brick, "wood": _wood, "stone": _stone,
}  # fmt: skip


@functools.cache
def _full_tile(ground: str) -> FloatArray:
    if ground not in PAINTERS:
        raise UsageError(f"ground {ground!r} is not known; expected one of {', '.join(GROUNDS)}")
    return np.clip(PAINTERS[ground](np.random.default_rng(1000 + GROUNDS.index(ground))), 0, 255).astype(np.float32)


@functools.lru_cache(maxsize=256)
def ground_tile(ground: str, unit: int) -> FloatArray:
    """The tile of a ground, RGB in [0, 255], for images whose short side is ``unit`` pixels: (2 unit, 2 unit, 3)."""
    side = 2 * unit
    method = cv2.INTER_AREA if side < TILE else cv2.INTER_CUBIC
    tile = cv2.resize(_full_tile(ground), (side, side), interpolation=method)
    tile.setflags(write=False)
    return tile.astype(np.float32, copy=False)


def ground_patch(ground: str, size: tuple[int, int], unit: int, rng: np.random.Generator) -> FloatArray:
    """A random cut of a ground's tile, (H, W, 3) float32 RGB in [0, 255]."""
    tile = ground_tile(ground, unit)
    rows, columns = (_mirrored(length, len(tile), rng) for length in size)
    return tile[rows[:, None], columns]


def _mirrored(length: int, available: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of a random run of the tile, reflected at its ends."""
    start = int(rng.integers(0, max(available - length, 0) + 1))
    position = (start + np.arange(length)) % (2 * available)
    return np.where(position < available, position, 2 * available - 1 - position)
