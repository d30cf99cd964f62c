"""CorrCLIP: patches attend to patches of their own region alone, and a region has a class token of its own.

Source: Zhang et al., CorrCLIP: Reconstructing Patch Correlations in CLIP for Open-Vocabulary Semantic Segmentation,
ICCV 2025, https://arxiv.org/abs/2411.10086; from the formulas of its version 1 (zdk258/CorrCLIP at commit 103bc18).
With g the unit vectors of DINO's q + k, and regions of a mask maker:

1. Regions are merged where their means of g, made unit vectors m, are within ``eps`` of the most alike pair:
   max(m mᵀ) − m mᵀ ≤ eps, and so on from region to region.
2. S = g gᵀ counts where both patches are of one merged region, or where one of them is of none and S > mean(S);
   A = softmax(4 S) over what counts.
3. Three branches, each normalised and projected by CLIP's head and then summed with the weights ``main``, ``spatial``
   and ``semantic``:

   * ``main``: out_proj(A v), v the last block's values of its own input;
   * ``spatial``: the same of the mean of what enters the ``layers`` blocks before it;
   * ``semantic``: a copy of the class token for each merged region, and one for the patches of none, which passes all
     blocks and sees the class token and its patches alone. All patches of the region have it.

The values are resized to the grid of the guide. Stage ``mask-vote`` is what follows.

Where we differ: regions come from the whole image and keep their numbers in all windows; where masks cover a window
wholly, none of them counts as "no region", as the published code counts the one with the smallest number; any batch,
whose windows have a mean of S each; a patch that nothing counts for keeps itself.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from densevl.core.attention import Block
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.registry import build
from densevl.dense.contracts import Read
from densevl.dense.guides import GUIDES
from densevl.dense.operations.clusters import components
from densevl.dense.operations.regions import on_cells
from densevl.encoders.contracts import Encoder, LastBlock, Needs

__all__ = ["CorrCLIPReadout", "merge_regions", "region_weights"]

LAYERS = {12: 5, 24: 12, 32: 28}
"""Layers that the spatial branch reads, by the blocks of a tower."""

SHARPNESS = 4.0
"""Factor of the cosines before the softmax."""


class CorrCLIPReadout(nn.Module):
    """Read the last block region by region.

    Args:
        guide: which patches are alike, published with ``{"type": "dino", "part": "query+key"}``.
        eps: largest difference to the most alike pair of regions that are merged.
        layers: states whose mean the spatial branch reads; None for the published number of the tower's blocks, which
            is 5 of 12, 12 of 24 and 28 of 32.
        main: weight of the branch.
        spatial: weight of the branch; 0 for none.
        semantic: weight of the branch; 0 for none.

    Raises:
        UsageError: where a setting is out of range.
    """

    def __init__(
        self,
        guide: Any = None,
        eps: float = 0.2,
        layers: int | None = None,
        main: float = 1.0,
        spatial: float = 1.0,
        semantic: float = 0.5,
    ) -> None:
        super().__init__()
        if guide is None:
            raise UsageError(
                f"corrclip compares patches by a guide, and has none; give it one: {', '.join(GUIDES.names)}"
            )
        if eps < 0 or (layers is not None and layers < 1):
            raise UsageError(f"corrclip takes eps of 0 or more, and a layer or more; got eps={eps}, layers={layers}")
        self.guide = build(GUIDES, guide)
        self.eps, self.depth, self.layers = eps, 0, layers
        self.main, self.spatial, self.semantic = main, spatial, semantic

    def check(self, encoder: Encoder) -> None:
        """Learn the number of blocks of the encoder, whose inputs are read.

        Raises:
            UsageError: where it has too few, or as many as nothing was published for.
        """
        if self.layers is None and encoder.depth not in LAYERS:
            raise UsageError(
                f"corrclip is published for towers of 12, 24 and 32 blocks, and that of {encoder.model_id!r} has "
                f"{encoder.depth}; say how many of them its spatial branch reads, as layers=2"
            )
        self.depth = encoder.depth
        self.layers = LAYERS[encoder.depth] if self.layers is None else self.layers
        if self.layers >= self.depth:
            raise UsageError(
                f"the spatial branch of corrclip reads fewer layers than the {self.depth} blocks of the image tower of "
                f"{encoder.model_id!r}; got layers={self.layers}"
            )

    @property
    def needs(self) -> Needs:
        """Guide, regions, and the tokens that enter the blocks."""
        first = 0 if self.semantic else self.depth - 1 - (self.layers or 0)
        return Needs(guide=self.guide, regions=True, states=tuple(range(first, self.depth)))

    @property
    def name(self) -> str:
        """Its settings."""
        names = ("eps", "layers", "main", "spatial", "semantic")
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"corrclip({settings}, guide={self.guide.name})"

    def forward(self, last: LastBlock) -> Read:
        """Features in the joint space on the grid of the guide.

        Raises:
            UsageError: where the tower has no attention or no class token.
        """
        if last.guide is None or last.regions is None or last.to_joint is None:
            raise UsageError("corrclip reads a guide, the regions of the image and an encoder with a joint space")
        cells = (last.guide.grid.shape[2], last.guide.grid.shape[3])
        units = F.normalize(last.guide.grid.float().flatten(2).mT, dim=2)
        numbers = on_cells(last.regions, cells).flatten(1)
        merged = torch.stack([merge_regions(*one, self.eps) for one in zip(units, numbers, strict=True)])
        weights = region_weights(units, merged).to(last.tokens.dtype)
        branches = [(self.main, last.tokens)]
        if self.spatial:
            before = [last.states[place] for place in range(self.depth - 1 - (self.layers or 0), self.depth - 1)]
            branches.append((self.spatial, torch.stack(before).mean(0)))
        read = sum(weight * last.to_joint(_gathered(last, tokens, weights, cells)) for weight, tokens in branches)
        grid = read.mT.unflatten(2, cells)  # type: ignore[union-attr]
        if self.semantic:
            of_patches = on_cells(merged.unflatten(1, cells), last.grid).flatten(1)
            tokens = last.to_joint(_class_tokens(last, of_patches + 1))
            places = (of_patches + 1)[..., None].expand(-1, -1, tokens.shape[2])
            spread = tokens.gather(1, places).mT.unflatten(2, last.grid)
            grid = grid + self.semantic * F.interpolate(spread, cells, mode="nearest")
        return Read(grid, joint=True)


def merge_regions(units: Float[Tensor, "n c"], numbers: Int[Tensor, " n"], eps: float = 0.2) -> Int[Tensor, " n"]:
    """The merged region of each patch, counted from 0 in the order of the numbers; -1 for none.

    Args:
        units: unit vectors of the patches of an image.
        numbers: region of each patch, below 0 for none.
        eps: largest difference to the most alike pair, by clusters of density of one member (DBSCAN).
    """
    inside = numbers >= 0
    merged = torch.full_like(numbers, -1)
    if not inside.any():
        return merged
    kinds, places = numbers[inside].unique(return_inverse=True)
    sums = units.new_zeros(len(kinds), units.shape[1]).index_add_(0, places, units[inside])
    means = F.normalize(sums, dim=1)
    alike = means @ means.mT
    first = components((alike.max() - alike <= eps) | torch.eye(len(kinds), dtype=torch.bool, device=units.device))
    merged[inside] = first.unique(return_inverse=True)[1][places].to(merged.dtype)
    return merged


def region_weights(units: Float[Tensor, "b n c"], merged: Int[Tensor, "b n"]) -> Float[Tensor, "b n n"]:
    """What each patch gathers from all of its image.

    Args:
        units: unit vectors of the patches.
        merged: region of each, below 0 for none.
    """
    alike = units @ units.mT
    none = merged < 0
    counts = (none[:, :, None] | none[:, None]) & (alike > alike.mean(dim=(1, 2), keepdim=True))
    counts |= (merged[:, :, None] == merged[:, None]) & ~none[:, None]
    counts |= ~counts.any(dim=2, keepdim=True) & torch.eye(units.shape[1], dtype=torch.bool, device=units.device)
    return (SHARPNESS * alike).masked_fill_(~counts, -torch.inf).softmax(dim=2)


def _gathered(
    last: LastBlock, tokens: Float[Tensor, "b n c"], weights: Float[Tensor, "b m m"], cells: Size
) -> Float[Tensor, "b m c"]:
    """The last block's values of tokens on a grid, gathered and projected."""
    block = last.block
    (values,) = block.qkv(block.norm_1(tokens), "v")
    heads = values.shape[1]
    if heads == 0:
        last.behind(values, residual=False, mlp=False)  # says that there is no attention
    on_grid = last.on_grid(values.transpose(1, 2).flatten(2))
    moved = F.interpolate(on_grid, cells, mode="bilinear", align_corners=False).flatten(2).mT
    return block.out((weights @ moved).unflatten(2, (heads, -1)).transpose(1, 2))


def _class_tokens(last: LastBlock, regions: Int[Tensor, "b n"]) -> Float[Tensor, "b r c"]:
    """A class token for each region behind all blocks, which sees the class token and the region's patches.

    Args:
        last: with the tokens before every block.
        regions: of the patches, from 0 on.

    Raises:
        UsageError: where there is no class token.
    """
    if last.prefix == 0:
        raise UsageError("the semantic branch of corrclip copies the class token, and this tower has none; semantic=0")
    start = last.states[0]
    kinds = torch.arange(int(regions.max()) + 1, device=regions.device)
    seen = torch.zeros(len(start), len(kinds), start.shape[1], dtype=torch.bool, device=start.device)
    seen[..., 0] = True
    seen[..., last.prefix :] = regions[:, None] == kinds[:, None]
    tokens = start[:, :1].expand(-1, len(kinds), -1)
    for place, block in enumerate(last.blocks):
        tokens = _attend(block, tokens, last.states[place], seen)
    return tokens


def _attend(
    block: Block, tokens: Float[Tensor, "b r c"], state: Float[Tensor, "b n c"], seen: Bool[Tensor, "b r n"]
) -> Float[Tensor, "b r c"]:
    """Class tokens behind a block, whose keys and values are those of its own pass."""
    keys, values = block.qkv(block.norm_1(state), "kv")
    query = _queries(block, block.norm_1(tokens), state)
    mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=seen[:, None])
    tokens = tokens + block.out(mixed)
    return tokens + block.mlp(block.norm_2(tokens))


def _queries(
    block: Block, normed: Float[Tensor, "b r c"], state: Float[Tensor, "b n c"]
) -> Float[Tensor, "b heads r e"]:
    """Queries of class tokens; where places enter in a block, each in the place of the class token."""
    if getattr(block, "rope", None) is None:
        return block.qkv(normed, "q")[0]
    rest = state[:, 1:]
    each = [block.qkv(torch.cat([normed[:, i : i + 1], rest], 1), "q")[0][:, :, :1] for i in range(normed.shape[1])]
    return torch.cat(each, dim=2)
