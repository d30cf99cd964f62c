"""Training scenes in which new colours are shown a given number of times: frequency that is caused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.datasets.scenes.language import caption, things
from densevl.datasets.scenes.scene import LATER_COLOURS, NEW_COLOURS, TRAIN_PAIRS, render
from densevl.datasets.scenes.shapes import SHAPES
from densevl.datasets.scenes.training import SceneText

__all__ = ["UNKNOWN_COLOURS", "CountedPlan", "draw_counted"]

UNKNOWN_COLOURS = (*NEW_COLOURS, *LATER_COLOURS)
"""Colours that the mini models were never shown, and whose words they never read."""

SIZE, ZOOM = 64, (1.4, 2.4)
"""Side of the images in pixels, and range of their views, as in the first part of the training of the mini CLIP."""


@dataclass(frozen=True)
class CountedPlan:
    """How many images show each unknown colour, and with which shapes.

    Attributes:
        counts: number of images by colour.
        shapes: that a colour is shown with, taken in turn, by colour.
        known: number of further images, of known pairs alone.
    """

    counts: Mapping[str, int]
    shapes: Mapping[str, Sequence[str]]
    known: int

    @classmethod
    def of_seed(cls, seed: int, levels: Sequence[int], shapes: int, known: int) -> "CountedPlan":
        """A plan that gives each colour a level, another one with each of as many seeds as there are levels.

        Args:
            seed: number of the plan.
            levels: numbers of images, one a colour.
            shapes: number of shapes that each colour is shown with.
            known: number of further images.

        Raises:
            UsageError: where there is not one level a colour, or there are not so many shapes.
        """
        if len(levels) != len(UNKNOWN_COLOURS) or not 1 <= shapes <= len(SHAPES):
            raise UsageError(
                f"a plan has {len(UNKNOWN_COLOURS)} levels and 1 to {len(SHAPES)} shapes; "
                f"got {len(levels)} and {shapes}"
            )
        rng = np.random.default_rng([seed, 1])
        counts = {colour: levels[(index + seed) % len(levels)] for index, colour in enumerate(UNKNOWN_COLOURS)}
        return cls(counts, {colour: rng.permutation(SHAPES)[:shapes].tolist() for colour in UNKNOWN_COLOURS}, known)

    @property
    def pairs(self) -> Counter[tuple[str, str]]:
        """Number of images of each pair of an unknown colour and a shape that occurs."""
        return Counter(
            (colour, self.shapes[colour][index % len(self.shapes[colour])])
            for colour, count in self.counts.items()
            for index in range(count)
        )


def draw_counted(plan: CountedPlan, seed: int) -> list[tuple[UInt8[Tensor, "3 H W"], SceneText]]:
    """The images of a plan and their texts, the same for ever; every second one has a known thing beside.

    Args:
        plan: what they show.
        seed: number of the collection.
    """
    rng = np.random.default_rng([seed, 2])
    shown: list[list[tuple[str, str]]] = [[pair] for pair, count in plan.pairs.items() for _ in range(count)]
    shown += [[_known(rng)] for _ in range(plan.known)]
    images = []
    for index, pairs in enumerate(shown):
        beside = [_known(rng)] if rng.random() < 0.5 else []
        zoom = float(rng.uniform(*ZOOM))
        try:
            scene = render(seed, index, SIZE, zoom=zoom, things=[*pairs, *beside])
        except UsageError:  # no room for both
            scene = render(seed, index, SIZE, zoom=zoom, things=pairs)
        text = SceneText(caption(scene, rng), things(scene))
        images.append((torch.from_numpy(scene.image).permute(2, 0, 1).contiguous(), text))
    return images


def _known(rng: np.random.Generator) -> tuple[str, str]:
    return TRAIN_PAIRS[int(rng.integers(len(TRAIN_PAIRS)))]
