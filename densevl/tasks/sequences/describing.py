"""One vector of a sequence: what its frames show, pooled over time.

Source: the recipe of Kataoka et al., Drive Video Analysis for the Detection of Traffic Near-Miss Incidents, ICRA 2018,
https://arxiv.org/abs/1804.02555: features of each frame, pooled over time, classified. Where we differ: the features
are those of the things of a frame, and how near the nearest two are; nothing is trained but the classes.

A gap is written as shares of soft steps, so that a linear classifier can ask for any range of gaps; frames with one
thing or none have steps of their own, since things that touch may look like one. Blocks of a vector, each of unit
length times the root of its weight:

* ``near``: the steps of the gaps, the mean over each part of the time;
* ``nearest``: the greatest share of each step in any frame;
* ``closing``: the steps of the changes of the gap from frame to frame, the mean over each part of the time;
* ``looks``: mean and maximum over time of the vectors of the things.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.tasks.segmentation.pooling import overlaps
from densevl.tasks.sequences.things import FrameThings

__all__ = ["PARTS", "SETTINGS", "describe", "over_time"]

PARTS = 4
"""Equal parts of the time."""

STEPS = (0.0, 0.15, 0.35, 0.6, 1.0, 1.5, 2.2, 3.2, 4.5)
"""Gaps between which a gap is shared out; beyond the last one it counts as that."""

CHANGES = (-0.8, -0.3, -0.1, 0.0, 0.1, 0.3, 0.8)
"""Changes of a gap from one frame to the next, likewise."""

WEIGHTS: Mapping[str, float] = {"near": 0.4, "nearest": 0.2, "closing": 0.2, "looks": 0.2}
"""Weight of each block; their sum is 1."""

SETTINGS: Mapping[str, Any] = {
    "parts": PARTS,
    "steps": list(STEPS),
    "changes": list(CHANGES),
    "weights": dict(WEIGHTS),
}
"""Everything that decides a vector beside the frames: JSON values only."""


def describe(frames: Sequence[FrameThings]) -> Float[Tensor, " d"]:
    """The unit vector of a sequence, of one frame or more.

    Args:
        frames: in their order.

    Raises:
        UsageError: where there is no frame.
    """
    if not frames:
        raise UsageError("a sequence has one frame or more; got none")
    states = torch.stack([_state(frame) for frame in frames])
    moved = torch.zeros(max(1, len(frames) - 1), len(CHANGES))
    for time, (before, after) in enumerate(pairwise(frames)):
        if before.gap is not None and after.gap is not None:
            moved[time] = _shares(after.gap - before.gap, CHANGES)
    looks = torch.cat([frame.vectors.float() for frame in frames])
    blocks = {
        "near": over_time(states),
        "nearest": states.amax(0),
        "closing": over_time(moved),
        "looks": torch.cat([F.normalize(looks.mean(0), dim=0), F.normalize(looks.amax(0), dim=0)]),
    }
    parts = [math.sqrt(WEIGHTS[name]) * F.normalize(block.flatten(), dim=0) for name, block in blocks.items()]
    return F.normalize(torch.cat(parts), dim=0)


def _state(frame: FrameThings) -> Float[Tensor, " s"]:
    """The shares of the steps of a frame: none, one thing, then the gaps."""
    state = torch.zeros(2 + len(STEPS))
    if frame.gap is None:
        state[min(frame.count, 1)] = 1.0
    else:
        state[2:] = _shares(frame.gap, STEPS)
    return state


def _shares(value: float, steps: Sequence[float]) -> Float[Tensor, " s"]:
    """A value shared out between the two steps that it lies between; they sum to 1."""
    value = min(max(value, steps[0]), steps[-1])
    above = next(i for i, step in enumerate(steps) if step >= value)
    shares = torch.zeros(len(steps))
    below = max(above - 1, 0)
    part = 1.0 if above == 0 else (value - steps[below]) / (steps[above] - steps[below])
    shares[below] += 1 - part
    shares[above] += part
    return shares


def over_time(values: Float[Tensor, "t c"]) -> Float[Tensor, "p c"]:
    """Means over equal parts of the time, in which a frame counts by the length that it shares with the part.

    Args:
        values: of each frame, in their order.
    """
    edges = torch.linspace(0, 1, PARTS + 1, dtype=torch.float64)
    frames = torch.linspace(0, 1, len(values) + 1, dtype=torch.float64)
    return (PARTS * overlaps(edges, frames)).to(values) @ values
