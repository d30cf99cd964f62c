"""Images with masks on the grid of a feature stack: sums to learn from, and cells to judge a choice by.

Both are kept by *fold*. The folds are images or, where there are fewer than four, stripes across the longer side of
each image, so that what is judged does not lie among what was learnt from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64, UInt8
from torch import Tensor

from densevl.classifiers.sums import Sums
from densevl.dense.stack import StackRefiner
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.windows import WindowPlan
from densevl.tasks.teaching.cells import cells_of, coverage
from densevl.tasks.teaching.light import LIGHTS, relit
from densevl.tasks.teaching.views import mirror_image

__all__ = ["FOLDS", "MaskedCells", "MaskedImage", "masked_cells", "stripes"]

FOLDS = 4
"""Folds that the examples are cut into."""


class MaskedImage(NamedTuple):
    """An image and the masks of what it shows, each of one class.

    Attributes:
        image: RGB.
        masks: of the size of the image; they may overlap.
        labels: class of each.
    """

    image: UInt8[np.ndarray, "H W 3"]
    masks: Bool[Tensor, "n H W"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class MaskedCells:
    """What images tell on the grid of a stack.

    Attributes:
        plain: sums of the examples by fold, of the images as they are, and of their mirror images where these count.
        lit: sums by fold, of the images in other lights; empty where they were not looked at.
        vectors: of the cells to judge by, those that some mask covers in part.
        parts: of each of these cells that each class covers.
        folds: of each of these cells.
    """

    plain: Mapping[int, Sums]
    lit: Mapping[int, Sums]
    vectors: Float32[Tensor, "m d"]
    parts: Float32[Tensor, "m k"]
    folds: Int64[Tensor, " m"]

    @classmethod
    def cat(cls, images: "Sequence[MaskedCells]") -> "MaskedCells":
        """Those of several images together."""
        plain, lit = ([getattr(one, name) for one in images] for name in ("plain", "lit"))
        joined = (torch.cat([getattr(one, name) for one in images]) for name in ("vectors", "parts", "folds"))
        return cls(_added(plain), _added(lit), *joined)

    def sums(self, lights: bool, without: int | None = None) -> Sums:
        """The sums of all folds, or of all but one.

        Args:
            lights: add those in other lights.
            without: a fold that is left out.
        """
        parts = [self.plain, self.lit] if lights else [self.plain]
        found = [sums for by_fold in parts for fold, sums in by_fold.items() if fold != without]
        if not found:
            some = next(iter(self.plain.values()))
            return Sums(*(torch.zeros_like(values) for values in (some.counts, some.totals, some.squares)))
        return sum(found[1:], found[0])


def masked_cells(
    segmentor: Segmentor,
    image: MaskedImage,
    classes: int,
    fold: int | None = None,
    lights: bool = False,
    most: int = 0,
    flip: bool = False,
) -> MaskedCells:
    """What one image tells.

    Args:
        segmentor: of a feature stack.
        image: with its masks.
        classes: their number.
        fold: of the image; None cuts it into stripes.
        lights: look at it in other lights, too.
        most: cells that are kept to judge by, drawn by seed where there are more.
        flip: learn from the mirror image, too; nothing is judged by it.
    """
    refiner = segmentor.refiners[0]
    assert isinstance(refiner, StackRefiner)
    stride = refiner.stack.stride
    (encoded,) = segmentor.encode([image.image])
    covered = coverage(image.masks, encoded.plan, stride)
    folds = stripes(encoded.plan, stride) if fold is None else torch.full_like(covered[:, 0], fold, dtype=torch.long)
    chosen = [cells_of(covered[:, place]) for place in range(len(image.masks))]
    own = encoded.features.grid.movedim(1, -1)
    seen = [segmentor.encode([relit(image.image, light)])[0].features.grid.movedim(1, -1) for light in LIGHTS if lights]
    parts = covered.new_zeros(len(covered), classes, *covered.shape[2:]).index_add_(1, image.labels, covered)
    places = (parts.sum(1) > 0).flatten().nonzero().flatten()
    if len(places) > most:
        places = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[:most]]
    plain = _by_fold([own], chosen, image.labels, folds, classes)
    if flip:
        turned = image._replace(image=mirror_image(image.image), masks=image.masks.flip(-1))
        across = fold is None and _across(encoded.plan)
        sums = masked_cells(segmentor, turned, classes, fold).plain
        plain = _added([plain, {FOLDS - 1 - number if across else number: one for number, one in sums.items()}])
    return MaskedCells(
        plain,
        _by_fold(seen, chosen, image.labels, folds, classes),
        own.flatten(0, 2)[places].cpu(),
        parts.movedim(1, -1).flatten(0, 2)[places],
        folds.flatten()[places],
    )


def stripes(plan: WindowPlan, stride: int) -> Int64[Tensor, "windows h w"]:
    """The stripe of each cell of the windows: quarters of the longer side of the image, from 0.

    Args:
        plan: the windows of the resized image.
        stride: side of a cell in pixels of the resized image.
    """
    axis = int(_across(plan))
    grid = plan.grid(stride)
    starts = torch.tensor([box[1 - axis] for box in plan.boxes])
    centres = starts[:, None] + (torch.arange(grid[axis]) + 0.5) * stride
    found = (centres * FOLDS / plan.size[axis]).long().clamp(max=FOLDS - 1)
    return (found[:, :, None] if axis == 0 else found[:, None]).expand(-1, *grid)


def _across(plan: WindowPlan) -> bool:
    """Whether the stripes lie side by side, so that the mirror image has them in the opposite order."""
    return plan.size[0] <= plan.size[1]


def _by_fold(
    grids: Sequence[Float[Tensor, "windows h w d"]],
    chosen: Sequence[Bool[Tensor, "windows h w"]],
    labels: Int[Tensor, " n"],
    folds: Int[Tensor, "windows h w"],
    classes: int,
) -> dict[int, Sums]:
    """Sums of the chosen cells of each mask by fold."""
    if not grids or not chosen:
        return {}
    marks = torch.stack(list(chosen))
    owners, *places = marks.nonzero(as_tuple=True)
    where, found = folds[tuple(places)], {}
    for fold in where.unique().tolist():
        here = where == fold
        rows = tuple(place[here] for place in places)
        vectors = torch.cat([grid.cpu()[rows] for grid in grids])
        found[fold] = Sums.of(vectors, labels[owners[here]].repeat(len(grids)), classes)
    return found


def _added(parts: Sequence[Mapping[int, Sums]]) -> dict[int, Sums]:
    """Sums of the same folds added."""
    found: dict[int, Sums] = {}
    for fold, sums in (pair for part in parts for pair in part.items()):
        found[fold] = found[fold] + sums if fold in found else sums
    return found
