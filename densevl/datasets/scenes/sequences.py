"""Seeded sequences of two things on one ground: they collide, nearly miss each other, pass, part, or keep apart.

``draw_sequence(seed, index)`` draws the same frames for ever. The camera and the ground stand still; one thing moves or
both do. The kind of a sequence is true of the gaps between the masks of its frames, see :data:`KINDS`. No single frame
tells it: things that part, and many that keep their distance, are as near each other as a near miss.

Convention: a gap is the distance between the outlines of both things in units of their mean radius, 0 where they touch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from densevl.core.errors import UsageError, suggestion
from densevl.datasets.scenes.scene import PAIRS, Scene, SceneObject, compose, draw_ground
from densevl.datasets.scenes.shapes import warped_distance

__all__ = ["KINDS", "SceneSequence", "draw_sequence"]

KINDS: Mapping[str, str] = {
    "collision": "they approach and touch, and stay where they meet",
    "near miss": "they approach, come within 0.15 to 0.7 of each other, and go on",
    "pass": "they approach, come no nearer than 1.1, and go on",
    "parting": "they are nearest in the first frame, and move apart",
    "steady": "neither comes nearer: both stand still, or move together",
}
"""Kinds of sequences, and what is true of the gaps of each."""

RADII = (0.09, 0.13)
"""Least and greatest radius of a thing, as a fraction of the short side."""

NEAR, FAR, CHANGE = (0.15, 0.7), 1.1, 0.15
"""Gaps of a near miss; the least gap of a pass; the greatest change of a gap of things that keep their distance."""

TRIES = 2000

Motion = Float[np.ndarray, "frames 2 2"]
"""The centre (x, y) of each of two things in each frame."""


@dataclass(frozen=True, eq=False)
class SceneSequence:
    """A sequence and everything that is known of it.

    Attributes:
        scenes: one a frame, each with the same two objects.
        kind: one of :data:`KINDS`.
        gaps: between both things in each frame.
    """

    scenes: tuple[Scene, ...]
    kind: str
    gaps: tuple[float, ...]

    @cached_property
    def frames(self) -> tuple[UInt8[np.ndarray, "H W 3"], ...]:
        """The images, RGB."""
        return tuple(scene.image for scene in self.scenes)


def draw_sequence(
    seed: int, index: int, frames: int = 8, size: int | tuple[int, int] = 96, kind: str | None = None
) -> SceneSequence:
    """Draw sequence ``index`` of a seed.

    Args:
        seed: number of the collection.
        index: number of the sequence in it.
        frames: of the sequence, three or more.
        size: side of square frames, or (height, width); at least 64.
        kind: one of :data:`KINDS`; None takes them in turn, by the index.

    Raises:
        UsageError: where the kind is unknown, there are too few frames, or they are too small or too long for the kind.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind {kind!r} is unknown; {suggestion(kind, KINDS)}")
    if frames < 3 or min(height, width) < 64:
        raise UsageError(
            f"cannot draw a sequence of {frames} frames of {height}×{width} pixels; expected 3 frames or more, of "
            "sides of at least 64"
        )
    chosen = list(KINDS)[index % len(KINDS)] if kind is None else kind
    rng = np.random.default_rng([seed, list(KINDS).index(chosen), index])
    unit = float(min(height, width))
    image, ground = draw_ground(rng, (height, width), unit)
    for _ in range(TRIES):
        things = [_thing(rng, unit), _thing(rng, unit)]
        motion = _motion(rng, chosen, [thing.radius for thing in things], frames, (height, width))
        if things[0].name == things[1].name or motion is None:
            continue
        gaps = _gaps(things, motion, (height, width))
        if _is(chosen, gaps):
            paint, light = rng.integers(1 << 32, size=2).tolist()
            scenes = tuple(_frame(things, places, image, ground, [paint, light]) for places in motion)
            return SceneSequence(scenes, chosen, tuple(gaps.tolist()))
    raise UsageError(f"no {chosen} of {frames} frames fits into {height}×{width} pixels; draw larger or squarer frames")


def _thing(rng: np.random.Generator, unit: float) -> SceneObject:
    """A thing without a place."""
    colour, shape = PAIRS[rng.integers(len(PAIRS))]
    radius, angle = unit * rng.uniform(*RADII), rng.uniform(-0.35, 0.35)
    return SceneObject(
        shape, colour, "", (0.0, 0.0), radius, angle, "", np.zeros((0, 0), bool), (0, 0, 0, 0), 1.0, True
    )


def _motion(
    rng: np.random.Generator, kind: str, radii: list[float], frames: int, size: tuple[int, int]
) -> Motion | None:
    """A motion that may be of a kind; None where it leads out of the image."""
    reach, turn = sum(radii), rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    times, path = np.linspace(0, 1, frames)[:, None], reach * rng.uniform(2.2, 3.6)
    if kind in ("collision", "near miss", "pass"):
        least, greatest = {"collision": (0.0, 0.5), "near miss": (0.95, 1.4), "pass": (1.5, 2.4)}[kind]
        nearest, aside = rng.uniform(0.4, 0.8), reach * rng.uniform(least, greatest)
        apart = aside * across + path * (times - nearest) * along
        if kind == "collision":
            apart = _stopped(apart, reach * rng.uniform(0.7, 0.95))
    elif kind == "parting":
        start = reach * rng.uniform(1.0, 1.9) * along
        outward = rng.uniform(-0.8, 0.8)
        apart = start + path * rng.uniform(0.4, 0.8) * times * (np.cos(outward) * along + np.sin(outward) * across)
    else:
        apart = np.repeat(reach * rng.uniform(1.0, 2.8) * along[None], frames, axis=0)
    share = rng.choice([0.0, 0.5, 1.0])  # of the motion that is the first one's
    drift = reach * rng.uniform(-0.8, 0.8, 2) * (rng.random() < 0.5)
    middle = np.array([size[1], size[0]]) * rng.uniform(0.2, 0.8, 2) + times * drift
    motion = np.stack([middle - share * apart, middle + (1 - share) * apart], 1)
    margins = np.array(radii)[None, :, None]
    inside = (motion >= margins) & (motion <= np.array([size[1], size[0]]) - margins)
    return motion if inside.all() else None


def _stopped(apart: Float[np.ndarray, "frames 2"], contact: float) -> Float[np.ndarray, "frames 2"]:
    """A way that ends where both first are that near each other, be it between two frames."""
    fine = np.linspace(0, len(apart) - 1, 40 * len(apart))
    ways = np.stack([np.interp(fine, np.arange(len(apart)), values) for values in apart.T], 1)
    met = np.flatnonzero(np.hypot(*ways.T) <= contact)
    if not len(met):
        return apart
    stopped = apart.copy()
    stopped[np.arange(len(apart)) >= fine[met[0]]] = ways[met[0]]
    return stopped


def _gaps(things: list[SceneObject], motion: Motion, size: tuple[int, int]) -> Float[np.ndarray, " frames"]:
    """The gap in each frame."""
    window, found = (0, 0, size[1], size[0]), []
    for places in motion:
        first, second = (
            warped_distance(thing.shape, (float(x), float(y)), thing.radius, thing.angle, window) > 0
            for thing, (x, y) in zip(things, places, strict=True)
        )
        away = cv2.distanceTransform((~first).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        found.append(max(float(away[second].min()) - 1, 0.0))
    return (np.array(found) / np.mean([thing.radius for thing in things])).round(4)  # OpenCV's last digits vary


def _is(kind: str, gaps: Float[np.ndarray, " frames"]) -> bool:
    """Whether gaps are those of a kind."""
    least, first, last = float(gaps.min()), float(gaps[0]), float(gaps[-1])
    if kind == "collision":
        return first >= NEAR[1] and last == 0.0
    if kind == "near miss":
        return NEAR[0] <= least <= NEAR[1] and first - least >= 0.6 and last > least
    if kind == "pass":
        return least >= FAR and first - least >= 0.6 and last > least
    if kind == "parting":
        return NEAR[0] <= first <= least and last - first >= 0.6
    return least >= NEAR[0] and float(np.ptp(gaps)) <= CHANGE


def _frame(
    things: list[SceneObject],
    places: Float[np.ndarray, "2 2"],
    image: Float[np.ndarray, "H W 3"],
    ground: UInt8[np.ndarray, "H W"],
    seeds: list[int],
) -> Scene:
    """The scene of both things at their places, in the same paint and light in every frame."""
    placed = [replace(thing, centre=(float(x), float(y))) for thing, (x, y) in zip(things, places, strict=True)]
    return compose(np.random.default_rng(seeds), image, ground, placed)
