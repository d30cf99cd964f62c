"""Regions of an image from the maps of its encoder: cells that look alike are merged, and what long stays apart counts.

The idea is that of selective search (Uijlings et al., Selective Search for Object Recognition, IJCV 2013): the pieces
of a hierarchical grouping, small to large, are the proposals. Where we differ: cells of an encoder's maps are grouped
in the place of superpixels, by Ward's criterion in the place of four similarities, and a piece is the better the more
it costs to merge it with anything. Nobody trained it to find things, so it needs no weights but the encoder's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size, resized_size, suppress
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.contracts import Encoder, Needs
from densevl.regions.mask_makers.grabcut import GrabCut
from densevl.regions.mask_makers.maker import Boxes, Picture, PreparedImage, as_prepared
from densevl.regions.mask_makers.ward import merge_cells

__all__ = ["MergedCells"]

LEAST_CELLS = 2
"""A piece of fewer cells is no region."""
LARGEST = 0.7
"""Part of the cells above which a piece counts as all of the image, which is the last of the regions."""
FILLED = 0.5
"""Part of its box that a piece must fill: what is left of an image round a thing has the box of the whole image."""
SAME_BOX = 0.8
"""Of pieces whose boxes overlap by more than this IoU, the best stays."""
LONG_SIDE = 1024
MOST_PIXELS = 2**29
"""Pixels of all masks together, a byte each: of a very large image fewer regions are given."""


class MergedCells:
    """A mask maker of an encoder's maps.

    Masks of boxes are those of GrabCut, which are finer than cells.

    Args:
        encoder: gives the maps; built, or a config.
        maps: names of the maps that decide what looks alike, each made unit vectors; cells are those of ``cells``.
        cells: name of the map whose cells are merged.
        short_side: the image is brought to it.
        count: regions of an image at most.
    """

    name = "merged cells"

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        maps: Sequence[str] = ("blocks.4", "blocks.10", "blocks.15"),
        cells: str = "blocks.10",
        short_side: int = 384,
        count: int = 40,
    ) -> None:
        if count < 1 or short_side < 1:
            raise UsageError(f"expected count >= 1 and short_side >= 1; got {count} and {short_side}")
        if cells not in maps:
            raise UsageError(f"cells are those of one of the maps {', '.join(maps)}; got {cells!r}")
        self.encoder: Encoder = build(ENCODERS, encoder)
        self.maps, self.cells, self.short_side, self.count = tuple(maps), cells, short_side, count
        self.boxes = GrabCut()
        settings = f"maps={'+'.join(maps)},cells={cells},short_side={short_side},count={count}"
        self.model_id = f"merged-cells({self.encoder.model_id}),{settings},{self.boxes.model_id}"

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "MergedCells":
        """Move the encoder to a device, and choose its arithmetic."""
        self.encoder.to(device=device, dtype=dtype)  # type: ignore[attr-defined]
        return self

    def encode(self, image: Picture) -> PreparedImage:
        """Look at an image once."""
        prepared = as_prepared(image, self.model_id)
        if prepared.maps:
            return prepared
        return PreparedImage(prepared.image, self.model_id, (self._cells(prepared.image),))

    def from_boxes(self, image: Picture, boxes: Boxes) -> Bool[Tensor, "n H W"]:
        """One mask for each box, inside the box; see :class:`GrabCut`."""
        return self.boxes.from_boxes(as_prepared(image, self.model_id).image, boxes)

    def from_points(self, image: Picture, points: Any, labels: Any | None = None) -> Bool[Tensor, "n H W"]:
        """Not known.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "merged cells are masks of boxes or of everything; take a SAM, such as `sam-vit-b`, for points"
        )

    def everything(self, image: Picture) -> Regions:
        """The pieces of an image, the best first; all of the image is the last piece. Scores lie in [0, 1]."""
        prepared = self.encode(image)
        (vectors,) = prepared.maps
        grid, size = (vectors.shape[1], vectors.shape[2]), prepared.size
        merges = merge_cells(vectors.flatten(1).mT.double().numpy(), grid)
        members, ends = merges.members(), merges.ends()
        cells = merges.cells
        kept = [
            i
            for i, piece in enumerate(members)
            if LEAST_CELLS <= len(piece) <= LARGEST * cells and len(piece) >= FILLED * _box_area(piece, grid[1])
        ]
        masks = torch.zeros(len(kept) + 1, cells, dtype=torch.bool)
        for mask, i in zip(masks, kept, strict=False):
            mask[torch.from_numpy(members[i])] = True
        masks[-1] = True
        highest = max(float(merges.costs.max()), 1e-12) if len(merges.costs) else 1.0
        scores = torch.tensor([*np.sqrt(ends[kept] / highest), 0.0], dtype=torch.float32)
        return _on_image(
            masks.view(-1, *grid), scores, size, min(self.count, max(1, MOST_PIXELS // (size[0] * size[1])))
        )

    @torch.no_grad()
    def _cells(self, image: np.ndarray) -> Float[Tensor, "c h w"]:
        """The maps on one grid, each made unit vectors, side by side."""
        stride = self.encoder.patch_size
        wanted = resized_size((image.shape[0], image.shape[1]), self.short_side, LONG_SIDE)
        height, width = (max(1, round(side / stride)) * stride for side in wanted)
        encoder = self.encoder
        pixels = torch.from_numpy(image).to(encoder.device).permute(2, 0, 1)[None].float() / 255
        small = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
        maps = encoder.last_block(small.to(encoder.dtype), Needs(maps=self.maps)).maps
        grid = (maps[self.cells].shape[2], maps[self.cells].shape[3])
        same = [F.normalize(_on_grid(maps[name].float(), grid), dim=1) for name in self.maps]
        return torch.cat(same, dim=1)[0].cpu()


def _box_area(piece: Int[np.ndarray, " n"], columns: int) -> int:
    """Cells in the smallest box round a piece."""
    rows, places = np.divmod(piece, columns)
    return int((np.ptp(rows) + 1) * (np.ptp(places) + 1))


def _on_grid(values: Float[Tensor, "1 c _ _"], grid: Size) -> Float[Tensor, "1 c h w"]:
    """A map on another grid: the mean of finer cells, or between coarser ones."""
    if values.shape[2] > grid[0]:
        return F.adaptive_avg_pool2d(values, grid)
    return F.interpolate(values, grid, mode="bilinear")


def _on_image(masks: Bool[Tensor, "n h w"], scores: Float[Tensor, " n"], size: Size, most: int) -> Regions:
    """The best of pieces on a grid, each with a box of its own, as regions of an image."""
    scale = torch.tensor([size[1] / masks.shape[2], size[0] / masks.shape[1]] * 2)
    boxes = Regions.from_masks(masks).boxes * scale
    kept = suppress(boxes, scores, SAME_BOX)[:most]
    values = F.interpolate(masks[kept, None].float(), size, mode="bilinear")[:, 0] if len(kept) else masks[:0].float()
    pieces = values >= 0.5
    full = pieces.flatten(1).any(1)
    rated = scores[kept][full]
    found = Regions.from_masks(pieces[full]).with_scores(rated)
    return found[suppress(found.boxes, rated, SAME_BOX)]  # cells of a tiny image are smaller than its pixels
