"""TextRegion: each region is a token whose attention in the last block is its mask.

Source: Xiao et al., TextRegion: Text-Aligned Region Tokens from Frozen Image-Text Models, TMLR 2025,
https://arxiv.org/abs/2505.23769, and avaxiao/TextRegion e392cd2. With v the values of the patches in the last block,
and M_rp the mask of region r at the patch p::

    t_r = out(Σ_p M_rp v_p)          t_r ← t_r + mlp(ln_2(t_r))          then the head of the encoder

M is the mask brought to the patch grid bilinearly; its rows do not sum to 1. The values are those of the image cut in
crops of the native size, plus those of the whole image squashed to it and enlarged to their grid. A patch that shows
the image rather than the regions it lies in is left out of all masks: with s_pr the mean cosine of v_p with the values
in region r, that is one whose mean of s over its own regions exceeds that over the others by less than ``removal``.

The reference divides the values by their lengths in place while it looks for such patches, so that its tokens are sums
of unit vectors where both have one dtype (float32), and of plain ones else: ``unit`` says which.

Where we differ: a region without a patch, since it is small or all of its patches were left out, takes every patch that
it covers with the covered area (``drop``: it is the zero vector, which is like no text; the reference leaves the region
out). Crops are resized bilinearly. SigLIP and PE, whose pooling attention the reference masks, are read like CLIP where
they have a place for single patches. Since regions are compared with each other, a vector depends on the other regions
of its image, unless ``removal`` is None.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from densevl.core.attention import NoAttention, is_residual
from densevl.core.errors import UsageError
from densevl.core.geometry import Size, bin_coverage, resized_size
from densevl.core.images import resize_image
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.contracts import POSITIONS, Encoder, LastBlock
from densevl.regions.embedders.alpha_clip import filled_boxes
from densevl.regions.embedders.embedder import RegionEmbedder, on_device

__all__ = ["TextRegion", "between_regions", "masks_on_grid"]

AT_ONCE = 64
"""Masks that are brought to the grid together."""


class TextRegion(nn.Module, RegionEmbedder):
    """Region tokens of an image–text encoder; see the equations above.

    Args:
        encoder: gives values of patches and embeds texts; built, or a config.
        short_side: images are scaled to it; None leaves their size.
        long_side: no side becomes longer.
        crop: side of the crops in pixels; None for the encoder's native size.
        whole: whether the values of the whole image are added to those of the crops.
        removal: patches whose own regions are like them by less than this above the others are left out; None for none.
        unit: whether values are made unit vectors before they are summed, where patches are left out.
        drop: whether a region of which no patch is left is the zero vector.
        positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        batch: crops that go through the encoder together.

    Raises:
        UsageError: where a setting is out of range, or the encoder embeds no patches.
    """

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        short_side: int | None = 672,
        long_side: int = 2016,
        crop: int | None = None,
        whole: bool = True,
        removal: int | float | None = 0.07,
        unit: bool = True,
        drop: bool = False,
        positions: str = "size",
        batch: int = 8,
    ) -> None:
        super().__init__()
        built = build(ENCODERS, encoder)
        if not isinstance(built, Encoder):
            raise UsageError(f"encoder {type(built).__name__} embeds no patches; take one such as `clip`")
        self.encoder: Encoder = built
        self.crop = built.image_size[0] if crop is None else crop
        if self.crop < built.patch_size or self.crop % built.patch_size:
            raise UsageError(f"crop must be a multiple of the patch of {built.patch_size} pixels; got {crop}")
        if batch < 1:
            raise UsageError(f"batch must be at least 1; got {batch}")
        if positions not in POSITIONS:
            raise UsageError(f"positions must be one of {', '.join(POSITIONS)}; got {positions!r}")
        self.short_side, self.long_side, self.whole = short_side, long_side, whole
        self.removal, self.unit, self.drop = removal, unit, drop
        self.positions, self.batch = positions, batch

    @property
    def reads_masks(self) -> bool:
        """True: a vector depends on the mask of its region; one without is its filled box."""
        return True

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        names = ("short_side", "long_side", "crop", "whole", "removal", "unit", "drop", "positions")
        return {
            "type": "text-region",
            "encoder": self.encoder.model_id,
            **{name: getattr(self, name) for name in names},
        }

    @torch.no_grad()
    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed the regions of an image; unless nothing is left out, those of an image belong together.

        Raises:
            UsageError: where the regions are of another image, or the encoder's last block has no attention.
        """
        if regions.size != image.shape[:2]:
            raise UsageError(f"the regions belong to an image of {regions.size}; this one is {image.shape[:2]}")
        values, last = self.values(image)
        regions = regions.to(values.device)
        masks = filled_boxes(regions)
        if regions.masks is not None:
            masks = torch.where(regions.masks.flatten(1).any(1)[:, None, None], regions.masks, masks)
        return RegionEmbeddings(self.tokens(values, last, masks), self.encoder.model_id)

    @torch.no_grad()
    def values(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[Float[Tensor, "heads e h w"], LastBlock]:
        """The values of an image on the grid of its crops, and the block that they are of.

        Raises:
            UsageError: where the last block has no attention, or one that pools.
        """
        if self.short_side is not None:
            image = resize_image(image, resized_size(image.shape[:2], self.short_side, self.long_side))
        pixels = on_device(torch.from_numpy(image).permute(2, 0, 1)[None], self.encoder.device)
        crops, (rows, columns) = _crops(pixels, self.crop)
        seen = torch.cat([*([_squashed(pixels, self.crop)] if self.whole else []), *crops])
        maps = []
        for some in seen.split(self.batch):
            last = self.encoder.last_block(some, positions=self.positions)
            found = self._values(last)
            maps.append(last.on_grid(found.transpose(1, 2).flatten(2)))
        grids = torch.cat(maps)
        joined = grids[int(self.whole) :].unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
        if self.whole:
            size = (joined.shape[1], joined.shape[2])
            joined = joined + F.interpolate(grids[:1].float(), size, mode="bilinear")[0].to(joined)
        return joined.unflatten(0, (found.shape[1], -1)), last

    @staticmethod
    def _values(last: LastBlock) -> Float[Tensor, "b heads n e"]:
        if not isinstance(last.block, NoAttention) and is_residual(last.block):
            (found,) = last.block.qkv(last.block.norm_1(last.tokens), "v")
            if found.shape[1]:
                return found
        raise UsageError(
            "text-region puts masks in the place of the last attention, and this encoder has none there, or one that "
            "pools the image; take another vision transformer, such as clip-vit-b16-openai, or mask-pooling"
        )

    @torch.no_grad()
    def tokens(
        self, values: Float[Tensor, "heads e h w"], last: LastBlock, masks: Bool[Tensor, "n H W"]
    ) -> Float[Tensor, "n d"]:
        """Unit vectors of regions, or zero vectors, from the values of their image.

        Args:
            values: as :meth:`values` gives them.
            last: the same.
            masks: of the image, whatever its size.
        """
        grid = (values.shape[2], values.shape[3])
        soft, flat = masks_on_grid(masks, grid), values.flatten(2)
        if self.removal is not None:
            units = F.normalize(flat.flatten(0, 1).float(), dim=0)
            soft = soft * ~between_regions(units.mT, soft.flatten(1) > 0, self.removal).unflatten(0, grid)
            flat = units.unflatten(0, flat.shape[:2]).to(flat) if self.unit else flat
        lost = ~soft.flatten(1).any(1)
        if lost.any() and not self.drop:
            soft = torch.where(lost[:, None, None], _areas(masks, grid), soft)
        mixed = soft.flatten(1).to(flat) @ flat.mT  # heads n e
        tokens = last.block.out(mixed[None])
        tokens = tokens + last.block.mlp(last.block.norm_2(tokens))
        units = F.normalize(self.encoder.to_joint(tokens)[0].float(), dim=1)
        return units.masked_fill(lost[:, None], 0.0) if self.drop else units


def masks_on_grid(masks: Bool[Tensor, "n H W"], grid: Size) -> Float[Tensor, "n h w"]:
    """Masks at the centres of cells, bilinear without antialiasing, so that small ones may vanish."""
    if not len(masks):
        return torch.zeros(0, *grid, device=masks.device)
    return torch.cat([F.interpolate(some[None].float(), grid, mode="bilinear")[0] for some in masks.split(AT_ONCE)])


def between_regions(
    units: Float[Tensor, "p c"], members: Bool[Tensor, "n p"], margin: int | float
) -> Bool[Tensor, " p"]:
    """The patches that are hardly more like their own regions than like the others.

    A patch of no region is none; the mean over no other region is 0.

    Args:
        units: unit vectors of the patches.
        members: the patches of each region.
        margin: least difference of the two means.
    """
    inside = members.to(units)
    means = inside @ units / inside.sum(1, keepdim=True).clamp(min=1)
    alike = units @ means.mT  # the mean cosine with the patches of each region
    there = members.any(1)  # regions without a patch count in neither mean
    own = (members & there[:, None]).mT.to(units)
    others = (~members & there[:, None]).mT.to(units)
    of_own = (alike * own).sum(1) / own.sum(1).clamp(min=1)
    of_others = (alike * others).sum(1) / others.sum(1).clamp(min=1)
    return members.any(0) & (of_own - of_others < margin)


def _areas(masks: Bool[Tensor, "n H W"], grid: Size) -> Float[Tensor, "n h w"]:
    """The part of each cell that each mask covers."""
    down, right = (
        bin_coverage(side, torch.arange(cells + 1, dtype=torch.float32, device=masks.device) * side / cells)
        * (cells / side)
        for side, cells in zip(masks.shape[1:], grid, strict=True)
    )
    return torch.cat([down @ some.float() @ right.mT for some in masks.split(AT_ONCE)])


def _crops(pixels: Float[Tensor, "1 3 H W"], side: int) -> tuple[list[Float[Tensor, "1 3 h w"]], Size]:
    """Crops of one side in reading order, and how many there are (down, right).

    They are as many as fit whole into the image, or one, of equal size, cover it, and are squashed to the side.
    """
    sizes = pixels.shape[2:]
    counts = [max(1, length // side) for length in sizes]
    lengths = [math.ceil(length / count) for length, count in zip(sizes, counts, strict=True)]
    ys, xs = (
        [min(i * length, whole - length) for i in range(count)]
        for whole, length, count in zip(sizes, lengths, counts, strict=True)
    )
    cut = [pixels[..., y : y + lengths[0], x : x + lengths[1]] for y in ys for x in xs]
    return [_squashed(one, side) for one in cut], (counts[0], counts[1])


def _squashed(pixels: Float[Tensor, "1 3 H W"], side: int) -> Float[Tensor, "1 3 {side} {side}"]:
    return pixels if pixels.shape[2:] == (side, side) else F.interpolate(pixels, (side, side), mode="bilinear")
