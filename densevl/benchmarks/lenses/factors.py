"""Where a model errs: its answers by size, place, occlusion, truncation, colour, shape and ground of the things.

Scenes are crowded, so that things are hidden by others and cut by the border, and say how much. Of labelled images the
same is told by their boxes and masks: *size* is COCO's (area below 32², below 96² pixels, or above), a thing is *cut*
where its box touches the border, and *covered* by the share of its box that one other box covers, since nobody says
which of the two is in front. Crowds of COCO are left out. Regions count as right or wrong; of pixels, the figure of a
thing is the intersection over union of its class inside its box, where things of the same class do not count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from densevl.benchmarks.lenses.asked import Question, ask, question
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import LabelledImage, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.intervals import Mean, draw_intervals
from densevl.core.regions import Regions
from densevl.datasets.scenes import GROUNDS, SHAPES, SceneObject
from densevl.datasets.scenes.scene import COLOURS, CROWDED, SIZES
from densevl.metrics.factors import Bin, bins_of, places
from densevl.metrics.table import or_none

__all__ = ["Factors"]

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
PLACES = tuple(f"{row} {column}" for row in ROWS for column in COLUMNS)

LITTLE, HALF = 0.001, 0.5
"""Shares that count as nothing, to the precision of pixels; and from which on most is gone."""

CLOSE = 1.4
"""Zoom of the scenes: larger things hide and are cut more often."""

HIDDEN = ("nothing", "up to 20 %", "20 to 40 %", "more")
CUT = ("nothing", "up to 25 %", "25 to 50 %", "more")
FEW = 4
"""Bins that a line names one by one."""

AREAS = (32.0**2, 96.0**2)
"""Areas at which COCO's things become medium and large, in pixels."""


@dataclass(frozen=True)
class Factor:
    """A property of things.

    Attributes:
        bins: their names.
        of: bin of each thing of an image; −1 where it is not known.
    """

    bins: Sequence[str]
    of: Callable[[LabelledImage, Regions], Int[np.ndarray, " n"]]


def _of_objects(value: Callable[[SceneObject], int]) -> Callable[[LabelledImage, Regions], Int[np.ndarray, " n"]]:
    def bins(image: LabelledImage, regions: Regions) -> Int[np.ndarray, " n"]:
        assert image.scene is not None
        return np.array([value(item) for item in image.scene.objects], np.int64)

    return bins


def _share(edges: Sequence[float]) -> Callable[[float], int]:
    return lambda value: int(places(np.array([value]), edges)[0])


def _position(image: LabelledImage, regions: Regions) -> Int[np.ndarray, " n"]:
    x, y = regions.centres.numpy().T
    height, width = regions.size
    column, row = (np.clip(3 * at / side, 0, 2).astype(np.int64) for at, side in ((x, width), (y, height)))
    return 3 * row + column


def _size(image: LabelledImage, regions: Regions) -> Int[np.ndarray, " n"]:
    return places(regions.areas.double().numpy(), AREAS)


def _touches(image: LabelledImage, regions: Regions) -> Int[np.ndarray, " n"]:
    height, width = regions.size
    left, top, right, bottom = regions.boxes.T
    cut = (left < 1) | (top < 1) | (right > width - 1) | (bottom > height - 1)
    return cut.long().numpy()


def _covered(image: LabelledImage, regions: Regions) -> Int[np.ndarray, " n"]:
    return places(covered_shares(regions.boxes.double().numpy()), (LITTLE, 0.25, HALF))


def covered_shares(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """The share of each box that the other box with most of it covers; 0 for a box alone."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clip(min=0).prod(-1)
    np.fill_diagonal(shared, 0)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return shared.max(1, initial=0.0) / areas


_hidden, _cut = _share((LITTLE, 0.2, 0.4)), _share((LITTLE, 0.25, HALF))

OF_SCENES: Mapping[str, Factor] = {
    "size": Factor(tuple(SIZES), _of_objects(lambda item: list(SIZES).index(item.size))),
    "position": Factor(PLACES, _position),
    "hidden by others": Factor(HIDDEN, _of_objects(lambda item: _hidden(1 - item.visible))),
    "cut by the border": Factor(CUT, _of_objects(lambda item: _cut(1 - item.uncut))),
    "colour": Factor(tuple(COLOURS), _of_objects(lambda item: list(COLOURS).index(item.colour))),
    "shape": Factor(SHAPES, _of_objects(lambda item: SHAPES.index(item.shape))),
    "ground": Factor(GROUNDS, _of_objects(lambda item: GROUNDS.index(item.ground))),
}
OF_IMAGES: Mapping[str, Factor] = {
    "size": Factor(("small", "medium", "large"), _size),
    "position": Factor(PLACES, _position),
    "covered by another box": Factor(("nothing", "up to 25 %", "25 to 50 %", "more"), _covered),
    "cut by the border": Factor(("no", "yes"), _touches),
}
"""Factors of drawn scenes, and of labelled images."""


@dataclass(frozen=True)
class Factors:
    """Answers by properties of what was asked about, of regions and of pixels."""

    name = "factors"
    title = "What makes it harder"

    def gather(self, subject: Subject, source: Source) -> Question:
        """Crowded scenes, or labelled images.

        Raises:
            UsageError: where nothing is of a class.
        """
        return question(self.name, subject, source, layout=CROWDED, zoom=CLOSE)

    def examine(self, subject: Subject, data: Question) -> Finding:
        """Figures of each bin of each factor, by head."""
        answers = {head: _answers(subject, data, head) for head in data.vocabularies}
        drawn = data.images[0].scene is not None
        values: dict[str, Any] = {
            head: {"things": len(own), "mean": float(own.mean())} for head, (own, _) in answers.items()
        }
        lines = [f"{head}: {_NAMES[head]} {own.mean():.1%} of {len(own)} things" for head, (own, _) in answers.items()]
        plots, tables = [], []
        for name, factor in (OF_SCENES if drawn else OF_IMAGES).items():
            binned = {head: bins_of(own, bins[name], factor.bins) for head, (own, bins) in answers.items()}
            lines += [f"{name}, {head}: {_line(bins)}" for head, bins in binned.items()]
            for head, bins in binned.items():
                values[head].setdefault("factors", {})[name] = [one.as_dict() for one in bins]
                tables.append(_table(f"{head.capitalize()} by {name}", bins, _NAMES[head]))
            means = {f"{head}: {_NAMES[head]}": [_mean(one) for one in bins] for head, bins in binned.items()}
            said = f"{name.capitalize()}: the mean of each bin with its interval of 95 %, and its number of things."
            plots.append(Plot(name.replace(" ", "-"), draw_intervals(means, name.capitalize(), "figure"), said))
        return Finding(values, lines, plots, tables)


_NAMES = {"regions": "right", "pixels": "IoU"}

Answers = tuple[np.ndarray, Mapping[str, Int[np.ndarray, " n"]]]


def _answers(subject: Subject, data: Question, head: str) -> Answers:
    """The figure of each thing of a known class, and its bins by the name of the factor."""
    factors = OF_SCENES if data.images[0].scene is not None else OF_IMAGES
    vocabulary = data.vocabularies[head]
    found: dict[str, list[np.ndarray]] = {name: [] for name in factors}
    figures, known = [], []
    for image in tqdm(data.images, desc=head, unit="image", delay=2, disable=None):
        pixels = image.read()
        regions = image.place((pixels.shape[0], pixels.shape[1]))
        labels = subject.labels(vocabulary, image.names)
        known.append(labels >= 0)
        for name, factor in factors.items():
            found[name].append(factor.of(image, regions))
        if head == "pixels":
            answer = subject.pixels(pixels, vocabulary).argmax(0).numpy()
            figures.append(overlaps(answer, labels, regions))
    own = np.concatenate(known)
    values = np.concatenate(figures) if figures else ask(subject, data, head).right
    return values[own], {name: np.concatenate(bins)[own] for name, bins in found.items()}


def overlaps(
    answer: Int[np.ndarray, "H W"], labels: Int[np.ndarray, " n"], regions: Regions
) -> Float[np.ndarray, " n"]:
    """Intersection over union of the class of each region inside its box, without the others of its class.

    Args:
        answer: class of each pixel.
        labels: class of each region.
        regions: with masks.
    """
    assert regions.masks is not None
    masks = regions.masks.numpy()
    found = []
    for index, (mask, box) in enumerate(zip(masks, regions.boxes.tolist(), strict=True)):
        left, top = (int(side) for side in box[:2])
        right, bottom = (int(np.ceil(side)) for side in box[2:])
        others = masks[(labels == labels[index]) & (np.arange(len(labels)) != index)].any(0) & ~mask
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        inside &= ~others
        given, true = (answer == labels[index]) & inside, mask & inside
        union = (given | true).sum()
        found.append((given & true).sum() / union if union else 0.0)
    return np.array(found, np.float64)


def _mean(one: Bin) -> Mean:
    return one.name, one.count, one.interval.mean, one.interval.low, one.interval.high


def _line(bins: Sequence[Bin]) -> str:
    """The bins; of many, the worst and the best."""
    found = [one for one in bins if one.count]
    if len(bins) > FEW:
        found = sorted(found, key=lambda one: one.interval.mean)[:: max(len(found) - 1, 1)]
    return ", ".join(f"{one.name} {one.interval.mean:.1%} ({one.count})" for one in found)


def _table(title: str, bins: Sequence[Bin], figure: str) -> Table:
    rows = [(one.name, one.count, *(or_none(value) for value in vars(one.interval).values())) for one in bins]
    return Table(title, ("bin", "things", figure, "from", "to"), rows)
