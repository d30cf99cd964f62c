"""The hints of the regions of a training step: a box, points or a mask of each, drawn at random.

Source: Chen et al., CLOC (see :mod:`densevl.training.cloc.losses`), where boxes alone are said to be trained. Points
and masks are ours, so that a prompter understands every hint that it takes.

Convention: boxes and points are fractions of the padded image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError, suggestion
from densevl.core.geometry import mask_coverage

__all__ = ["RegionHints", "draw_points", "padded"]

KINDS = ("box", "point", "mask")
MIDDLE = 0.5
"""Side of the middle of a box that points are drawn from where there is no mask, in sides of the box."""


class RegionHints:
    """Draws a kind of hint for each region and has a prompter make it.

    Random numbers come from torch's generator of the CPU.

    Args:
        shares: how often each of ``box``, ``point`` and ``mask`` is drawn, relative to the others; None for boxes
            alone.
        points: greatest number of points of a hint; the number is drawn from 1 on, evenly.

    Raises:
        UsageError: where a kind is unknown, a share negative or all are 0, or there are no points.
    """

    def __init__(self, shares: Mapping[str, int | float] | None = None, points: int = 3) -> None:
        shares = {"box": 1.0} if shares is None else shares
        if strange := sorted(set(shares) - set(KINDS)):
            raise UsageError(f"hint {strange[0]!r} is unknown; {suggestion(strange[0], KINDS)}")
        if min(shares.values(), default=0) < 0 or not sum(shares.values()) > 0 or points < 1:
            raise UsageError(
                f"shares of hints must be 0 or more, and one of them more, and points at least 1; got {dict(shares)} "
                f"and points={points}"
            )
        self.shares = {kind: float(shares[kind]) for kind in KINDS if shares.get(kind, 0) > 0}
        self.points = points

    def __call__(
        self,
        prompter: Any,
        grid: Float[Tensor, "b c h w"],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        masks: Sequence[Bool[Tensor, "_ S S"] | None] | None = None,
        patch_size: int = 1,
    ) -> tuple[Float[Tensor, "b m k c"], Bool[Tensor, "b m k"]]:
        """Hints of the regions of a batch, and which of their tokens are there.

        Every kind that may be drawn is made for every region: the weights that are used are then the same in each
        step and on each process.

        Args:
            prompter: makes hints, as :class:`densevl.regions.embedders.prompter.Prompter` does.
            grid: tokens of the images.
            boxes: of the regions of each image.
            masks: of the regions of each image, as large as the padded images; None for an image without masks, whose
                regions get boxes in their place.
            patch_size: side of a patch in pixels of the masks.

        Raises:
            UsageError: where masks shall be hints and the data have none at all.
        """
        if masks is None and "mask" in self.shares:
            raise UsageError("hints of masks need `masks` in the training data; add them, or leave out hints.mask")
        given = masks or [None] * len(boxes)
        names = list(self.shares) + ["box"] * ("mask" in self.shares and "box" not in self.shares)
        drawn = [self._draw(names, len(some), mask is not None) for some, mask in zip(boxes, given, strict=True)]
        made = [self._made(name, prompter, grid, boxes, given, patch_size) for name in names]
        longest = max(tokens.shape[2] for tokens, _ in made)
        tokens = torch.stack([F.pad(tokens, (0, 0, 0, longest - tokens.shape[2])) for tokens, _ in made])
        real = torch.stack([F.pad(there, (0, longest - there.shape[2])) for _, there in made])
        kind = padded(drawn).to(grid.device)
        image, place = (torch.arange(n, device=grid.device) for n in kind.shape)
        chosen = (kind, image[:, None], place)
        return tokens[chosen], real[chosen]

    def _draw(self, names: Sequence[str], count: int, masked: bool) -> Int[Tensor, " n"]:
        """Index into ``names`` for each region of an image."""
        if len(names) == 1:
            return torch.zeros(count, dtype=torch.long)
        weights = torch.tensor([self.shares.get(name, 0.0) for name in names])
        drawn = torch.multinomial(weights, count, replacement=True) if count else torch.zeros(0, dtype=torch.long)
        if masked or "mask" not in names:
            return drawn
        return torch.where(drawn == names.index("mask"), names.index("box"), drawn)

    def _made(
        self,
        name: str,
        prompter: Any,
        grid: Float[Tensor, "b c h w"],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        masks: Sequence[Bool[Tensor, "_ S S"] | None],
        patch_size: int,
    ) -> tuple[Float[Tensor, "b m k c"], Bool[Tensor, "b m k"]]:
        """Hints of one kind for all regions, and which of their tokens are there."""
        if name == "point":
            drawn = [draw_points(some, mask, self.points) for some, mask in zip(boxes, masks, strict=True)]
            counts = padded([torch.randint(self.points, (len(some),)) + 1 for some in boxes]).to(grid.device)
            tokens = prompter.points(padded(drawn))
            return tokens, torch.arange(self.points, device=grid.device) < counts[:, :, None]
        if name == "mask":
            coverage = [_coverage(mask, some, grid, patch_size) for some, mask in zip(boxes, masks, strict=True)]
            tokens = prompter.masks(grid, padded(coverage))
        else:
            tokens = prompter.boxes(padded(boxes))
        return tokens, torch.ones(tokens.shape[:3], dtype=torch.bool, device=tokens.device)


def draw_points(
    boxes: Float[Tensor, "n 4"], masks: Bool[Tensor, "n S S"] | None, count: int
) -> Float[Tensor, "n {count} 2"]:
    """Points (x, y) of regions: pixels of the mask, all as likely; without a mask, the middle of the box.

    Args:
        boxes: of the regions.
        masks: of the regions, as large as the padded image; an empty one counts as none.
        count: points of a region.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    offset = (torch.rand(len(boxes), count, 2) - 0.5).to(boxes) * MIDDLE
    points = (low + high) / 2 + offset * (high - low)
    for row, mask in enumerate(() if masks is None else masks):
        pixels = mask.nonzero()
        if len(pixels):
            drawn = pixels[torch.randint(len(pixels), (count,)).to(pixels.device)]
            points[row] = ((drawn.flip(1) + 0.5) / mask.shape[-1]).to(points)
    return points


def _coverage(
    masks: Bool[Tensor, "n S S"] | None, boxes: Float[Tensor, "n 4"], grid: Float[Tensor, "b c h w"], patch_size: int
) -> Float[Tensor, "n h w"]:
    """Coverage of each patch by each mask; 0 where there is no mask."""
    size = (grid.shape[2], grid.shape[3])
    if masks is None or len(boxes) == 0:
        return boxes.new_zeros(len(boxes), *size)
    return mask_coverage(masks.to(boxes), masks.shape[-1], patch_size, size)


def padded(values: Sequence[Tensor]) -> Tensor:
    """Lists of different lengths as one tensor, zeros behind the shorter ones."""
    return nn.utils.rnn.pad_sequence(list(values), batch_first=True)
