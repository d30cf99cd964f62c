"""CLIPtrase: like attends to like in the last block, and patches that are alike in the block before form clusters.

Source: Shao et al., Explore the Potential of CLIP for Training-Free Open Vocabulary Semantic Segmentation, ECCV 2024,
https://arxiv.org/abs/2407.08268; reference code leaves162/CLIPtrase at commit 2b7de61. In the last block::

    x + out_proj(Σ_z softmax(z zᵀ / √d) v) for z ∈ {q, k, v},  then + mlp(ln_2(·))

and in the block before, with cos the cosines of tokens in each head, averaged over heads::

    C = (cos qq + cos kk + cos vv) / 3          W_ij = max(0, C_ij − C_class,j) for patches i and j

whose rows DBSCAN sorts into clusters. The mean row of each cluster is a map, which is enlarged to four times the grid
(bilinear), smoothed by a median of 7×7 cells, and enlarged to the image; a pixel is of the cluster whose map is largest
there. These regions lie in :attr:`densevl.core.features.DenseFeatures.regions`, where the stage ``cluster-vote`` finds
them; the class token behind the last block is :attr:`densevl.core.features.DenseFeatures.whole`, for ``class-scores``.

The protocol that belongs to it resizes the position embedding as SCLIP does (``positions="plus"``) and crops the centre
of an image of short side 224 or 336. Where we differ: DBSCAN runs on the device; any batch and any grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

from densevl.core.attention import is_residual
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.dense.contracts import Read, named
from densevl.dense.operations.clusters import dbscan
from densevl.encoders.contracts import Encoder, LastBlock, Needs

__all__ = ["CLIPtraseReadout", "cluster_regions", "cluster_weights"]

ENLARGED, MEDIAN = 4, 7
"""Factor of the first enlargement, and side of the median's window."""


@dataclass(frozen=True)
class CLIPtraseReadout:
    """Read the last block by what is alike, and find clusters in the one before it.

    Attributes:
        eps: the largest distance of neighbours among the rows of W; 0.7 for 224 pixels, 1.1 for 336.
        min_samples: neighbours that make a core of a cluster; 3 for 224 pixels, 7 for 336.
    """

    eps: int | float = 0.7
    min_samples: int = 3

    needs = Needs(images=True, states=(-2,))

    def __post_init__(self) -> None:
        if not self.eps > 0 or self.min_samples < 1:
            raise UsageError(f"clusters take eps above 0 and one sample or more; got {self.eps} and {self.min_samples}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("cliptrase", self)

    def check(self, encoder: Encoder) -> None:
        """Raise a ``UsageError`` where there is no block before the last."""
        if encoder.depth < 2:
            raise UsageError(
                f"cliptrase clusters the patches of the block before the last, and the image tower of "
                f"{encoder.model_id!r} has {encoder.depth}; take readout=naclip"
            )

    def __call__(self, last: LastBlock) -> Read:
        """Tokens of the block on the patch grid, whole images, and the cluster of each pixel.

        Raises:
            UsageError: where the tower has no class token, or its last block pools.
        """
        block, size = last.block, last.grid if last.images is None else (last.images.shape[2], last.images.shape[3])
        if last.prefix == 0 or not is_residual(block):
            raise UsageError(
                "cliptrase compares patches with the class token, which this image tower has not; take readout=naclip "
                "or readout=gem"
            )
        *parts, values = block.qkv(block.norm_1(last.tokens), "qkvv")
        mixed = [F.scaled_dot_product_attention(part, part, values) for part in parts]
        tokens = last.tokens + block.out(torch.stack(mixed).sum(0))
        tokens = tokens + block.mlp(block.norm_2(tokens))
        whole = None if last.pool is None else last.pool(tokens)
        regions = [self._regions(weights, last.grid, size) for weights in cluster_weights(last)]
        return Read(last.on_grid(tokens), whole=whole, regions=torch.stack(regions))

    def _regions(self, weights: Float[Tensor, "n n"], grid: Size, size: Size) -> Int[Tensor, "H W"]:
        return cluster_regions(weights, dbscan(weights, self.eps, self.min_samples), grid, size)


def cluster_weights(last: LastBlock) -> Float[Tensor, "b n n"]:
    """W: how much more patches are like each other than the class token is like them, in the block before the last."""
    block = last.blocks[-2]
    units = [F.normalize(part, dim=-1) for part in block.qkv(block.norm_1(last.states[-2]))]
    alike = torch.stack([(unit @ unit.mT).mean(1) for unit in units]).mean(0)
    return (alike[:, last.prefix :, last.prefix :] - alike[:, :1, last.prefix :]).clamp(min=0)


def cluster_regions(
    weights: Float[Tensor, "n n"], clusters: Int64[Tensor, " n"], grid: Size, size: Size
) -> Int[Tensor, "H W"]:
    """The cluster of each pixel; -1 everywhere where there is no cluster.

    Args:
        weights: W of the patches.
        clusters: of each patch, from 0 on; below 0 for none.
        grid: patches (down, right).
        size: of the image.
    """
    count = int(clusters.max()) + 1
    if count == 0:
        return torch.full(size, -1, dtype=torch.int16, device=weights.device)
    members = F.one_hot(clusters + 1, count + 1)[:, 1:].to(weights)
    maps = (members.mT @ weights / members.sum(0)[:, None]).unflatten(1, grid)
    maps = F.interpolate(maps[None], scale_factor=ENLARGED, mode="bilinear", align_corners=False)[0]
    maps = F.interpolate(_median(maps)[None], size, mode="bilinear", align_corners=False)[0]
    return maps.argmax(0).to(torch.int16)


def _median(maps: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
    """The median around each cell; beyond the border the map is mirrored, its outermost cells included."""
    near = MEDIAN // 2
    for axis in (1, 2):
        side = maps.shape[axis]
        places = torch.arange(-near, side + near, device=maps.device) % (2 * side)
        maps = maps.index_select(axis, torch.minimum(places, 2 * side - 1 - places))
    return torch.stack([one.unfold(0, MEDIAN, 1).unfold(1, MEDIAN, 1).flatten(2).median(2).values for one in maps])
