"""RADSeg: C-RADIO's last attention asks its own answer once more, and so does the map of the whole image.

Source: RADSeg, 2025, https://arxiv.org/abs/2511.19704; reference code RADSeg-OVSS/RADSeg at commit 05ec86f. With q, k
and v of the last block and o cut into heads again::

    o  = proj(softmax(q kᵀ / √d) v)                                          all tokens, the prefix included
    o' = proj(softmax of scaling · cos(o, o), below 0 −∞, v)                 each head by itself
    x  = the block with o' in the place of o, residual and feed-forward layers kept

    F  = x of all windows put together on the grid of the image, the mean where they overlap
    x' = softmax of scaling · (cos(F, F) − mean cos(F, F)), below 0 −∞, times F

Then each patch passes the adaptor to SigLIP 2 as :mod:`densevl.encoders.towers.radio` has it. The protocol drops the
classes that no pixel is sure of, which is the stage ``prompt-denoising``.

Where we differ: any tower whose last block has a residual, any batch. Windows whose patches do not fall on each other,
at the right and the bottom of an image, are put together by the area that patches share. Of images apart
(``splice=False``) each one has a map of its own.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.attention import attend, is_residual, project
from densevl.core.errors import UsageError
from densevl.dense.contracts import Read, named
from densevl.dense.operations.splice import splice
from densevl.encoders.contracts import NO_HEADS, LastBlock, Needs

__all__ = ["RADSegReadout", "aggregate", "ask_again"]

AFFINITIES_AT_ONCE = 2**24
"""Entries of the patch-by-patch matrix that are held together: 64 MiB in float32."""


def ask_again(
    gathered: Float[Tensor, "b n c"], values: Float[Tensor, "b heads n e"], scaling: int | float
) -> Float[Tensor, "b heads n e"]:
    """What each head gathers from the tokens for which the attention has gathered alike.

    Args:
        gathered: what the attention has put out, as wide as all heads together.
        values: of the heads.
        scaling: factor of the cosines.
    """
    heads = F.normalize(gathered.unflatten(2, (values.shape[1], -1)).transpose(1, 2), dim=-1)
    mixed = torch.empty_like(values)
    rows = max(1, AFFINITIES_AT_ONCE // (heads.shape[:3].numel()))
    for start in range(0, heads.shape[2], rows):
        cosines = scaling * (heads[:, :, start : start + rows] @ heads.mT)
        mixed[:, :, start : start + rows] = cosines.masked_fill_(cosines < 0, -torch.inf).softmax(dim=-1) @ values
    return mixed


def aggregate(maps: Float[Tensor, "b c h w"], scaling: int | float) -> Float[Tensor, "b c h w"]:
    """Each patch as the mean of the patches of its map that are more alike than patches are on the whole.

    Args:
        maps: of each image.
        scaling: factor of what lies above the mean of all cosines.
    """
    tokens = maps.flatten(2).mT
    unit = F.normalize(tokens.float(), dim=-1)
    mean = unit.mean(dim=1).square().sum(dim=-1)  # of all cosines, which are not made for it
    found, (batch, count) = [], unit.shape[:2]
    own = torch.arange(count, device=unit.device)
    for some in own.split(max(1, AFFINITIES_AT_ONCE // (batch * count))):
        above = scaling * (unit[:, some] @ unit.mT - mean[:, None, None])
        above = above.masked_fill((above < 0) & (own != some[:, None]), -torch.inf)
        found.append(above.softmax(dim=-1) @ tokens.float())
    return torch.cat(found, dim=1).mT.unflatten(2, maps.shape[2:]).to(maps.dtype)


@dataclass(frozen=True)
class RADSegReadout:
    """Read the last block twice, and the map of all windows of an image once more.

    Attributes:
        scaling: factor of the cosines.
        splice: whether all windows of an image become one map; each has its own otherwise.
    """

    scaling: int | float = 10.0
    splice: bool = True

    def __post_init__(self) -> None:
        if not self.scaling > 0:
            raise UsageError(f"scaling of RADSeg is a factor above 0; got {self.scaling}")

    @property
    def needs(self) -> Needs:
        """All windows of an image, where they become one map."""
        return Needs(windows=self.splice)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("radseg", self)

    def __call__(self, last: LastBlock) -> Read:
        """Tokens of the block on the patch grid of the whole image, or of each one.

        Raises:
            UsageError: where the tower has no attention to ask twice.
        """
        block = last.block
        heads = block.qkv(block.norm_1(last.tokens))
        if not is_residual(block):
            raise UsageError(
                "RADSeg asks an attention twice that is added to its input, and the last one of this tower pools; take "
                "readout=maskclip"
            )
        if heads[2].shape[1] == 0:
            raise UsageError(NO_HEADS.format("values"))
        gathered = project(block, attend(*heads))
        maps = last.behind(ask_again(gathered, heads[2], self.scaling), residual=True, mlp=True)
        if self.splice and last.windows is not None:
            maps = splice(maps, last.windows, extent=last.extent)
        return Read(aggregate(maps, self.scaling), spliced=self.splice)
