"""Seeded images of coloured shapes on textured ground, with their exact labels.

``render(seed, index)`` draws the same image for ever. A pixel belongs to the topmost object that covers its centre,
else to the ground at its centre; the edges are anti-aliased in the image only.

Convention: boxes are half-open xyxy in pixels, masks and labels are (H, W), sizes are (height, width).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from densevl.core.errors import UsageError
from densevl.datasets.scenes.grounds import GROUNDS, ground_patch, rgb
from densevl.datasets.scenes.shapes import NEW_SHAPES, SHAPES, warped_distance

__all__ = [
    "ALL_CLASSES",
    "CLASSES",
    "COLOURS",
    "CROWDED",
    "HELD_OUT",
    "NEW_CLASSES",
    "NEW_COLOURS",
    "NEW_SHAPE_CLASSES",
    "PAIRS",
    "SIZES",
    "TIDY",
    "Layout",
    "Scene",
    "SceneObject",
    "class_index",
    "compose",
    "draw_ground",
    "render",
]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (208, 38, 44),
    "orange": (244, 136, 30),
    "yellow": (250, 218, 58),
    "green": (40, 170, 88),
    "blue": (40, 92, 220),
    "purple": (136, 62, 184),
    "white": (244, 244, 240),
    "black": (38, 38, 44),
}
NEW_COLOURS: dict[str, tuple[int, int, int]] = {
    "pink": (242, 138, 186),
    "turquoise": (52, 200, 196),
    "brown": (122, 78, 42),
    "olive": (128, 132, 36),
}
"""Colours that no scene has unless it is asked for: neither their look nor their words are known to the mini models."""
LATER_COLOURS: dict[str, tuple[int, int, int]] = {"lime": (168, 226, 44)}
"""Colours of given things alone, beside :data:`NEW_COLOURS`: scenes in new colours do not have them."""
SIZES: dict[str, tuple[float, float]] = {"small": (0.095, 0.12), "medium": (0.145, 0.175), "large": (0.21, 0.26)}
"""Radius of an object by its size word, as a fraction of the short side at zoom 1."""
HELD_OUT = frozenset((colour, SHAPES[(3 * i + 1) % 8]) for i, colour in enumerate(COLOURS))
"""Pairs (colour, shape) that no training image and no training text contains; each colour and shape once."""
CLASSES = (*GROUNDS, *(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES))
"""Class names of the ``scenes`` vocabulary: the grounds, then every colour with every shape."""
NEW_CLASSES = (*GROUNDS, *(f"{colour} {shape}" for colour in NEW_COLOURS for shape in SHAPES))
"""Class names of scenes in :data:`NEW_COLOURS`: the grounds, then every new colour with every shape."""
PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
NEW_PAIRS = tuple((colour, shape) for colour in NEW_COLOURS for shape in SHAPES)
NEW_SHAPE_PAIRS = tuple((colour, shape) for colour in COLOURS for shape in NEW_SHAPES)
NEW_SHAPE_CLASSES = (*CLASSES, *(f"{colour} {shape}" for colour, shape in NEW_SHAPE_PAIRS))
"""Class names of scenes with :data:`densevl.datasets.scenes.shapes.NEW_SHAPES`: the new ones after the others."""
ALL_COLOURS = {**COLOURS, **NEW_COLOURS, **LATER_COLOURS}
ALL_PAIRS = tuple(
    dict.fromkeys(
        [*PAIRS, *NEW_SHAPE_PAIRS, *((colour, shape) for colour in ALL_COLOURS for shape in (*SHAPES, *NEW_SHAPES))]
    )
)
ALL_CLASSES = (*GROUNDS, *(f"{colour} {shape}" for colour, shape in ALL_PAIRS))
"""Class names of scenes whose things are given: the grounds, then every colour with every shape, the new ones last."""
TRAIN_PAIRS = tuple(pair for pair in PAIRS if pair not in HELD_OUT)
SPLITS = ("train", "val")
MOST_TRIES, MOST_OF_GIVEN = 1000, 50
"""Arrangements of the objects that are drawn until one is as its layout asks for, and of objects that are given."""
Split = Literal["train", "val"]


@dataclass(frozen=True)
class Layout:
    """How objects may lie.

    Attributes:
        apart: least distance of two centres, as a fraction of the sum of both radii.
        inside: least distance of a centre from the border of the image, as a fraction of the radius; below 0.98, some
            objects are cut by the border.
        visible: least fraction of an object that no other one hides.
        uncut: least fraction of an object that lies inside the image.
    """

    apart: float = 0.8
    inside: float = 0.98
    visible: float = 0.6
    uncut: float = 1.0


TIDY = Layout()
"""Objects lie in the image as a whole and overlap a little at most."""
CROWDED = Layout(apart=0.35, inside=-0.2, visible=0.25, uncut=0.25)
"""Objects are hidden by others and cut by the border of the image, up to three quarters of them."""


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One shape of a scene.

    Attributes:
        size: ``small``, ``medium`` or ``large``.
        centre: (x, y) in pixels.
        ground: what lies under the object's centre.
        settled: whether the whole object lies on that ground.
        mask: visible pixels, (H, W) bool.
        box: tight box of the visible pixels.
        visible: fraction of the object's pixels inside the image that no other object hides.
        uncut: fraction of the object that lies inside the image.
    """

    shape: str
    colour: str
    size: str
    centre: tuple[float, float]
    radius: float
    angle: float
    ground: str
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    visible: float
    settled: bool
    uncut: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and everything that is known of it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, index into :data:`CLASSES`; of a scene in new colours, into :data:`NEW_CLASSES`, and
            of one with new shapes, into :data:`NEW_SHAPE_CLASSES`; of one whose things were given, into
            :data:`ALL_CLASSES`.
        instances: (H, W) uint8, 0 for ground and i + 1 for ``objects[i]``.
        grounds: names of the grounds that can be seen, the larger one first.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    grounds: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes in the image, grounds first, each once."""
        return tuple(dict.fromkeys((*self.grounds, *(item.name for item in self.objects))))


def class_index(name: str) -> int:
    """Index of a class in :data:`CLASSES`."""
    return CLASSES.index(name)


def render(
    seed: int,
    index: int,
    size: int | tuple[int, int] = 128,
    split: Split = "train",
    count: tuple[int, int] = (1, 5),
    zoom: int | float = 1.0,
    new_colours: bool = False,
    new_shapes: bool = False,
    things: Sequence[tuple[str, str]] | None = None,
    layout: Layout = TIDY,
) -> Scene:
    """Draw scene ``index`` of a seed.

    Args:
        seed: number of the collection.
        index: number of the scene in it.
        size: side of a square image, or (height, width).
        split: ``train`` leaves out the pairs of :data:`HELD_OUT`; ``val`` draws all pairs alike.
        count: least and greatest number of objects.
        zoom: scale of objects and textures relative to the short side; above 1 is a close view.
        new_colours: draw the objects in :data:`NEW_COLOURS`, all pairs alike in both splits.
        new_shapes: draw every second object, on average, in a new shape, all pairs alike in both splits.
        things: colour and shape of each object, known or new, all of which are in the scene; ``count`` does not matter
            then. None to draw them at random.
        layout: how the objects may lie.

    Raises:
        UsageError: for an unknown split, an empty size, a count that runs backwards, an unknown thing, or more things
            than there is room for.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is not known; expected 'train' or 'val'")
    if min(height, width) < 16 or zoom <= 0 or not 0 <= count[0] <= count[1] <= 200:
        raise UsageError(
            f"cannot draw a scene of size {height}x{width} with {count} objects at zoom {zoom}; "
            "expected sides of at least 16, 0 <= least <= greatest <= 200 and a positive zoom"
        )
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    unit = float(min(height, width) * zoom)
    image, ground = draw_ground(rng, (height, width), unit)
    before = image.copy()
    pairs: Sequence[tuple[str, str]]
    pairs, classes = (NEW_PAIRS, NEW_CLASSES) if new_colours else (PAIRS if split == "val" else TRAIN_PAIRS, CLASSES)
    if new_shapes:
        pairs, classes = (*PAIRS, *(len(SHAPES) // len(NEW_SHAPES) * NEW_SHAPE_PAIRS)), NEW_SHAPE_CLASSES
    if things is not None:
        pairs, classes, count = _known(things), ALL_CLASSES, (len(things), len(things))
    for _ in range(MOST_TRIES if things is None else MOST_OF_GIVEN):
        placed = _place(rng, (height, width), unit, count, pairs, layout, in_order=things is not None)
        if things is not None and len(placed) < len(things):
            continue
        image, instances, areas = _draw_objects(rng, before.copy(), placed)
        visible = np.bincount(instances.ravel(), minlength=len(placed) + 1)[1:] / np.maximum(areas, 1)
        uncut = (
            [float(area) / _whole_area(o) for o, area in zip(placed, areas, strict=True)] if layout.uncut < 1 else []
        )
        if (visible >= layout.visible).all() and all(fraction >= layout.uncut for fraction in uncut):
            break
    else:
        raise UsageError(f"a scene of size {height}x{width} at zoom {zoom} has no room for {count[1]} objects")
    return _finished(rng, image, instances, ground, placed, visible, classes, uncut)


def compose(
    rng: np.random.Generator,
    image: NDArray[np.float32],
    ground: NDArray[np.uint8],
    placed: Sequence[SceneObject],
) -> Scene:
    """A scene of objects at given places; later ones lie over earlier ones, and each must show.

    Args:
        rng: of paint, light and noise.
        image: of the ground, as :func:`draw_ground` gives it; it is not changed.
        ground: index into :data:`GROUNDS` of each pixel.
        placed: shape, colour, centre, radius and angle of each object; the rest is found.
    """
    drawn, instances, areas = _draw_objects(rng, image.copy(), placed)
    visible = np.bincount(instances.ravel(), minlength=len(placed) + 1)[1:] / np.maximum(areas, 1)
    return _finished(rng, drawn, instances, ground, placed, visible, CLASSES)


def _finished(
    rng: np.random.Generator,
    image: NDArray[np.float32],
    instances: NDArray[np.uint8],
    ground: NDArray[np.uint8],
    placed: Sequence[SceneObject],
    visible: NDArray[np.float64],
    classes: tuple[str, ...],
    uncut: Sequence[float] = (),
) -> Scene:
    """The scene of objects that were drawn: what is known of each, the labels, and the light."""
    names = [GROUNDS[i] for i in np.argsort(-np.bincount(ground.ravel(), minlength=len(GROUNDS)), kind="stable")]
    objects = tuple(_finish(item, instances == i + 1, ground, float(visible[i])) for i, item in enumerate(placed))
    if uncut:
        objects = tuple(replace(item, uncut=fraction) for item, fraction in zip(objects, uncut, strict=True))
    lookup = np.array([0, *(classes.index(item.name) for item in objects)], np.uint8)
    labels = np.where(instances > 0, lookup[instances], ground)
    pixels = np.bincount(labels.ravel(), minlength=len(classes))
    seen = tuple(name for name in names if pixels[GROUNDS.index(name)] > 0)
    return Scene(_light(rng, image), labels, instances, objects, seen)


def _known(things: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """The things, each of a colour and a shape that can be drawn."""
    wrong = next((thing for thing in things if tuple(thing) not in ALL_PAIRS), None)
    if wrong is not None or len(things) > 200:
        raise UsageError(f"cannot draw {len(things)} things, of which {wrong!r} is unknown; expected (colour, shape)")
    return things


def draw_ground(
    rng: np.random.Generator, size: tuple[int, int], unit: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One ground, or two that meet along a gently bent line: the image, and the index in GROUNDS of each pixel.

    Args:
        rng: that decides everything.
        size: (height, width).
        unit: pixels of the short side at zoom 1.
    """
    height, width = size
    first, second = rng.permutation(len(GROUNDS))[:2]
    scale = _texture_scale(unit * float(rng.choice([0.85, 1.0, 1.2])))
    image = ground_patch(GROUNDS[first], size, scale, rng)
    ground = np.full(size, first, np.uint8)
    if rng.random() < 0.4:
        return image, ground
    angle = rng.choice([0, 0.5, 1, 1.5, rng.uniform(0, 2)]) * np.pi
    normal, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    x = np.arange(width, dtype=np.float32) + 0.5 - width * rng.uniform(0.35, 0.65)
    y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - height * rng.uniform(0.35, 0.65)
    wave = rng.uniform(0, 0.03) * unit
    phase = (x * along[0] + y * along[1]) * (2 * np.pi * rng.uniform(0.8, 2.2) / unit)
    distance = x * normal[0] + y * normal[1] + wave * np.sin(phase)
    other = ground_patch(GROUNDS[second], size, scale, rng)
    alpha = np.clip(distance + 0.5, 0, 1)[..., None].astype(np.float32)
    shade = 1 - 0.3 * np.exp(-np.abs(distance) / (0.012 * unit + 0.5)).astype(np.float32)[..., None]
    ground[distance > 0] = second
    return (image + (other - image) * alpha) * shade, ground


def _texture_scale(unit: float) -> int:
    """The scale at which textures are kept: few values, so that tiles are shared between images."""
    step = 8 if unit <= 256 else 64
    return max(step, round(unit / step) * step)


def _place(
    rng: np.random.Generator,
    size: tuple[int, int],
    unit: float,
    count: tuple[int, int],
    pairs: Sequence[tuple[str, str]],
    layout: Layout,
    in_order: bool,
) -> list[SceneObject]:
    """Objects of pairs drawn at random or taken in order; fewer than wanted where there is no room."""
    height, width = size
    placed: list[SceneObject] = []
    for number in range(int(rng.integers(count[0], count[1] + 1))):
        colour, shape = pairs[number if in_order else int(rng.integers(len(pairs)))]
        word = list(SIZES)[rng.integers(3)]
        radius = unit * rng.uniform(*SIZES[word])
        angle = rng.uniform(-0.35, 0.35)
        margin_x, margin_y = (min(layout.inside * radius, side / 2) for side in (width, height))
        for _ in range(12):
            x, y = rng.uniform(margin_x, width - margin_x), rng.uniform(margin_y, height - margin_y)
            gaps = [np.hypot(x - o.centre[0], y - o.centre[1]) / (radius + o.radius) for o in placed]
            if min(gaps, default=1) > layout.apart:
                empty = np.zeros((0, 0), bool)
                item = SceneObject(shape, colour, word, (x, y), radius, angle, "", empty, (0, 0, 0, 0), 1.0, True)
                placed.append(item)
                break
    return placed


def _draw_objects(
    rng: np.random.Generator, image: NDArray[np.float32], placed: Sequence[SceneObject]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """Paint the objects in order over the image; also the instance map and each object's whole area in pixels."""
    height, width = image.shape[:2]
    instances = np.zeros((height, width), np.uint8)
    areas = np.zeros(len(placed), np.int64)
    for i, item in enumerate(placed):
        (x, y), radius = item.centre, 1.28 * item.radius
        x0, y0 = max(int(x - radius), 0), max(int(y - radius), 0)
        window = x0, y0, min(int(x + radius) + 1, width), min(int(y + radius) + 1, height)
        cut = (slice(y0, window[3]), slice(x0, window[2]))
        distance = warped_distance(item.shape, item.centre, item.radius, item.angle, window)
        lift = 0.09 * item.radius
        shadow = warped_distance(item.shape, (x + lift, y + lift), item.radius, item.angle, window)
        dark = np.clip(0.5 + shadow / (0.22 * item.radius), 0, 1)[..., None]
        ground = image[cut] * (1 - 0.45 * dark)
        alpha = np.clip(distance + 0.5, 0, 1)[..., None]
        image[cut] = ground + (_paint(rng, item, distance, window) - ground) * alpha
        inside = distance > 0
        areas[i] = inside.sum()
        instances[cut][inside] = i + 1
    return image, instances, areas


def _whole_area(item: SceneObject) -> int:
    """Pixels that an object would have if neither the border nor another object hid any."""
    (x, y), reach = item.centre, 1.28 * item.radius
    window = int(x - reach) - 1, int(y - reach) - 1, int(x + reach) + 2, int(y + reach) + 2
    return int((warped_distance(item.shape, item.centre, item.radius, item.angle, window) > 0).sum())


def _paint(
    rng: np.random.Generator, item: SceneObject, distance: NDArray[np.float32], window: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """The object's colour in its window: jitter, light from the upper left and a darker rim."""
    colour = rgb(*ALL_COLOURS[item.colour]) * rng.uniform(0.9, 1.06) + rng.uniform(-8, 8, 3).astype(np.float32)
    x = (np.arange(window[0], window[2], dtype=np.float32) + 0.5 - item.centre[0]) / item.radius
    y = (np.arange(window[1], window[3], dtype=np.float32)[:, None] + 0.5 - item.centre[1]) / item.radius
    light = 1.02 - 0.1 * (x + y)
    rim = 1 - 0.32 * np.clip(1.2 - distance / (0.1 * item.radius), 0, 1)
    return colour * (light * rim)[..., None]


def _light(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A slope of light across the image, a slight tint and a little sensor noise."""
    height, width = image.shape[:2]
    slope_x, slope_y = rng.uniform(-0.12, 0.12, 2)
    tint = rng.uniform(0.9, 1.08) * rng.uniform(0.97, 1.03, 3)
    x = np.linspace(-slope_x, slope_x, width, dtype=np.float32)
    y = np.linspace(-slope_y, slope_y, height, dtype=np.float32)[:, None]
    noise = _noise(height, width, int(rng.integers(1 << 16)))
    lit = image * (1 + x + y)[..., None] * tint.astype(np.float32) + rng.uniform(0, 4) * noise
    return cv2.convertScaleAbs(np.clip(lit, 0, 255))


def _noise(height: int, width: int, start: int) -> NDArray[np.float32]:
    """Unit noise cut from one long fixed run of it, which is faster than drawing it anew."""
    length = height * width
    run = np.resize(_NOISE, start + length)[start:] if start + length > len(_NOISE) else _NOISE[start : start + length]
    return run.reshape(height, width, 1)


_NOISE = np.random.default_rng(0).standard_normal(1 << 18).astype(np.float32)


def _finish(item: SceneObject, mask: NDArray[np.bool_], ground: NDArray[np.uint8], visible: float) -> SceneObject:
    """The object with its mask, its box and the ground under its centre."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    x, y = (min(max(int(place), 0), side - 1) for place, side in zip(item.centre, ground.shape[::-1], strict=True))
    under = GROUNDS[ground[y, x]]
    settled = bool(np.all(ground[mask] == GROUNDS.index(under)))
    return replace(item, mask=mask, box=box, visible=visible, ground=under, settled=settled)
