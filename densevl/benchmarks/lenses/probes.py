"""The lens ``probes``: what linear probes read from dense features, beside colour histograms and chance.

Source: Khandelwal et al., Simple but Effective: CLIP Embeddings for Embodied AI, CVPR 2022,
https://arxiv.org/abs/2111.09888; see :mod:`densevl.training.probing`. The control sees the colours of the same cells,
by the same probes, on the same images. Images that train and images that are judged are different ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import LabelledImage, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.bars import draw_bars
from densevl.core.errors import UsageError, suggestion
from densevl.core.histograms import colour_grid
from densevl.core.vocabulary import normalised
from densevl.metrics.primitives import Figures
from densevl.training.probing.primitives import PRIMITIVES, chance, probe_primitives, split_images
from densevl.training.probing.probe import EPOCHS
from densevl.training.probing.targets import KnownImage, targets_of

__all__ = ["Probes", "Seen", "judged", "seen"]

TOGETHER = 8
"""Images that are encoded at once."""

KINDS = ("shape", "colour", "name")
"""What the classes of scenes can be."""

FEATURES, COLOURS, CHANCE = "dense features", "colour histograms", "chance"


@dataclass(frozen=True, eq=False)
class Seen:
    """What probes are fitted on.

    Attributes:
        features: dense features of each image, pooled.
        colours: colour histograms of the same cells.
        known: the things of each image.
        names: of the classes.
    """

    features: Float[Tensor, "n d side side"]
    colours: Float[Tensor, "n bins side side"]
    known: Sequence[KnownImage]
    names: Sequence[str]


class Probes:
    """Linear probes of presence, localisation, count and free space.

    Args:
        side: rows and columns of the grid that features are pooled to.
        epochs: times that each image is seen.
        share: of the images that train, in (0, 1); the others are judged.
        names: what the classes of scenes are: ``shape``, ``colour``, or the whole ``name``.
        seed: of the split and of the order of the images.

    Raises:
        UsageError: where a setting cannot be used.
    """

    name, title = "probes", "What linear probes read from its features"

    def __init__(
        self, side: int = 3, epochs: int = EPOCHS, share: float = 0.6, names: str = "shape", seed: int = 0
    ) -> None:
        if side < 1 or epochs < 1 or not 0 < share < 1:
            raise UsageError(
                f"probes: side and epochs are at least 1 and share lies in (0, 1); got {side}, {epochs} and {share:g}"
            )
        if names not in KINDS:
            raise UsageError(f"probes: names {names!r} is unknown; {suggestion(names, KINDS)}")
        self.side, self.epochs, self.share, self.names, self.seed = side, epochs, share, names, seed

    def gather(self, subject: Subject, source: Source) -> Sequence[LabelledImage]:
        """The labelled images.

        Raises:
            UsageError: where too few have a thing.
        """
        images = source.labelled(self.name)
        split_images(len(images), self.share)  # refuses too few
        return images

    def examine(self, subject: Subject, data: Sequence[LabelledImage]) -> Finding:
        """Figures of each question: of the features, of the control, and of chance."""
        rows = judged(seen(subject, data, self.side, self.names), self.side, self.epochs, self.share, self.seed)
        values = {row: {name: figures.as_dict() for name, figures in each.items()} for row, each in rows.items()}
        lines = []
        for name, said in PRIMITIVES.items():
            own, control, blind = (rows[row][name] for row in (FEATURES, COLOURS, CHANCE))
            beaten = "" if own.score > max(control.score, blind.score) else "; it is not beaten"
            lines.append(
                f"{name} ({said}): {own.name} {own.score:.3f}, colour histograms {control.score:.3f}, chance "
                f"{blind.score:.3f}{beaten}"
            )
        plot = draw_bars(
            {row: [each[name].score for name in PRIMITIVES] for row, each in rows.items()},
            [f"{name}\n{rows[FEATURES][name].name}" for name in PRIMITIVES],
            f"Linear probes of a {self.side}×{self.side} grid",
            "score",
        )
        settings = {"side": self.side, "epochs": self.epochs, "share": self.share, "seed": self.seed}
        return Finding(
            {"settings": settings, "images": len(data), **values},
            lines,
            [Plot("probes", plot, f"Images that are judged trained nothing; {len(data)} images in all.")],
            [_table(rows)],
        )


def seen(subject: Subject, images: Sequence[LabelledImage], side: int, names: str) -> Seen:
    """What probes are fitted on.

    Args:
        subject: whose dense features they are.
        images: with named regions.
        side: rows and columns of the grid.
        names: what the classes of scenes are.
    """
    words = [_words(image, names) for image in images]
    classes = list(dict.fromkeys(sorted(normalised(word) for own in words for word in own)))
    places = {name: label for label, name in enumerate(classes)}
    features, colours, known = [], [], []
    remaining = iter(zip(images, words, strict=True))
    with tqdm(total=len(images), desc="probes", unit="image", delay=2, disable=None) as progress:
        while batch := list(islice(remaining, TOGETHER)):
            pixels = [image.read() for image, _ in batch]
            features += list(torch.from_numpy(subject.model.grid(pixels, side)))
            for image, (labelled, own) in zip(pixels, batch, strict=True):
                height, width = image.shape[:2]
                boxes = labelled.place((height, width)).boxes / torch.tensor([width, height, width, height])
                labels = torch.tensor([places[normalised(word)] for word in own], dtype=torch.long)
                known.append(KnownImage(boxes.float(), labels))
                colours.append(torch.from_numpy(colour_grid(image, side)))
            progress.update(len(batch))
    return Seen(torch.stack(features), torch.stack(colours), known, classes)


def judged(
    found: Seen, side: int = 3, epochs: int = EPOCHS, share: float = 0.6, seed: int = 0
) -> Mapping[str, Mapping[str, Figures]]:
    """The figures of each question by row: of the features, of the control, and of chance.

    Args:
        found: what probes are fitted on.
        side: rows and columns of the grid.
        epochs: times that each image is seen.
        share: of the images that train.
        seed: of the split and of the order of the images.
    """
    split = split_images(len(found.known), share, seed)
    targets = targets_of(found.known, len(found.names), side)
    return {
        FEATURES: probe_primitives(found.features, targets, split, epochs, seed),
        COLOURS: probe_primitives(found.colours, targets, split, epochs, seed),
        CHANCE: chance(targets, split),
    }


def _words(image: LabelledImage, names: str) -> tuple[str, ...]:
    """The class of each thing of an image."""
    if image.scene is None or names == "name":
        return image.names
    return tuple(getattr(item, names) for item in image.scene.objects)


def _table(rows: Mapping[str, Mapping[str, Figures]]) -> Table:
    columns = ("question", "features", "score", "figure", "further")
    lines = [
        (name, row, each[name].name, each[name].score, _said(each[name]))
        for name in PRIMITIVES
        for row, each in rows.items()
    ]
    return Table("Each question", columns, lines)


def _said(figures: Figures) -> str:
    return ", ".join(f"{name} {np.nan if value is None else value:.3f}" for name, value in figures.further.items())
