"""Shape against colour: which of the two decides the name of a thing where no name has both right.

Source: Geirhos et al., ImageNet-trained CNNs are biased towards texture, ICLR 2019, https://arxiv.org/abs/1811.12231.
Scenes hold one thing, of a colour and a shape. The names to choose from share exactly one of the two with it: its shape
in the seven other colours, and its colour with the seven other shapes. The share of shape is that of the answers with
the right shape. The images of Geirhos et al., whose outline is of one class and whose texture of another, are the real
twin: a folder of files such as ``cat/cat4-truck2.png``, whose names say the shape, then the texture. The answer there
is one of all the classes that occur; answers that are neither do not count in the share. For the figures see
:mod:`densevl.metrics.cues`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from densevl.benchmarks.lenses.choosing import WAYS, ChoiceImage, choose_by, of_scene, refuse_taught, ways_of
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import SIDE, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.shares import draw_shares
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.scenes import SHAPES, Scene
from densevl.datasets.scenes.scene import COLOURS
from densevl.datasets.scenes.unlike import unlike_things
from densevl.metrics.cues import NEITHER, SECOND, SHAPE, CueScores
from densevl.metrics.table import or_none

__all__ = ["Cues"]

CONFLICT = re.compile(r"([a-z_ ]+)\d*-([a-z_ ]+)\d*\.(?:png|jpe?g)", re.IGNORECASE)
"""Name of a file of Geirhos et al.: the class of the shape, then that of the texture, each with a number."""


@dataclass(frozen=True, eq=False)
class Conflicts:
    """Images whose cues disagree.

    Attributes:
        images: with names to choose from.
        second: the cue beside the shape.
    """

    images: Sequence[ChoiceImage]
    second: str


@dataclass(frozen=True)
class Cues:
    """Shape against colour, asked by whole images, regions and pixels."""

    name = "cues"
    title = "Shape against colour"

    def gather(self, subject: Subject, source: Source) -> Conflicts:
        """Scenes of one thing, or images whose shape and texture are of different classes.

        Raises:
            UsageError: where the subject is asked by taught classes, or the folder has no such images.
        """
        refuse_taught(self.name, subject)
        if source.file is not None:
            return Conflicts(_of_folder(source.file), "texture")
        return Conflicts([_of_one(unlike_things(source.seed, n, 1, SIDE)) for n in range(source.scenes)], "colour")

    def examine(self, subject: Subject, data: Conflicts) -> Finding:
        """Decisions and share of the shape by each way of choosing."""
        found, second = {}, data.second
        for way in ways_of(subject) if second == "colour" else ("image",):  # of a photo, no region is known
            chosen, kinds = choose_by(way, subject, data.images)
            found[way] = CueScores(kinds[np.arange(len(chosen)), chosen])
        lines = [f"{WAYS[way]}: {_said(one, second)}" for way, one in found.items()]
        rows = [
            (
                WAYS[way],
                *(one.shape, one.second, len(one.cues) - one.shape - one.second),
                *map(or_none, vars(one.interval).values()),
            )
            for way, one in found.items()
        ]
        columns = ("asked by", "shape", second, "neither", "share of shape", "from", "to")
        shares = {
            WAYS[way]: {
                "its shape": one.shape / len(one.cues), f"its {second}": one.second / len(one.cues),
                "neither": 1 - (one.shape + one.second) / len(one.cues),
            }
            for way, one in found.items()
        }  # fmt: skip
        plot = Plot("shares", draw_shares(shares, "What does the answer follow?"), _SAID)
        values = {way: {**one.as_dict(), "second_cue": second} for way, one in found.items()}
        return Finding(values, lines, [plot], [Table("Decisions", columns, rows)])


_SAID = "Answers for things of which every name to choose from has one cue wrong, by the cue that is right."


def _said(scores: CueScores, second: str) -> str:
    if not scores.shape + scores.second:
        return f"none of {len(scores.cues)} answers follows the shape or the {second}"
    inside = scores.interval
    return (
        f"shape decides {scores.share:.1%} ({inside.low:.1%} to {inside.high:.1%}) of "
        f"{scores.shape + scores.second} answers that follow shape or {second}"
    )


def _of_one(scene: Scene) -> ChoiceImage:
    (item,) = scene.objects
    by_shape = [f"{colour} {item.shape}" for colour in COLOURS if colour != item.colour]
    by_colour = [f"{item.colour} {shape}" for shape in SHAPES if shape != item.shape]
    kinds = [*[SHAPE] * len(by_shape), *[SECOND] * len(by_colour)]
    return of_scene(scene, [[*by_shape, *by_colour]], [kinds])


def _of_folder(folder: Path) -> list[ChoiceImage]:
    """Images that are named by the class of their shape and that of their texture, which differ."""
    named = [(path, CONFLICT.fullmatch(path.name)) for path in sorted(folder.rglob("*.*"))] if folder.is_dir() else []
    pairs = [(path, [word.strip(" _").replace("_", " ") for word in found.groups()]) for path, found in named if found]
    classes = sorted({name for _, both in pairs for name in both})
    images = []
    for path, (shape, texture) in pairs:
        if shape != texture:
            kinds = [SHAPE if name == shape else SECOND if name == texture else NEITHER for name in classes]
            images.append(ChoiceImage(partial(read_image, path), Regions.whole, [classes], [kinds]))
    if not images:
        raise UsageError(
            "the lens 'cues' needs images whose shape and texture are of different classes, named by both as "
            f"cat4-truck2.png is, and {folder} has none; leave TEST out to draw scenes"
        )
    return images
