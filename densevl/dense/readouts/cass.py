"""CASS: each head attends by its own keys and by those of a head of a guide that looks at something else.

Source: Kim et al., Distilling Spectral Graph for Object-Context Aware Open-Vocabulary Semantic Segmentation, CVPR 2025,
https://arxiv.org/abs/2411.17150. With k the keys of the patches in a head of the last block and g those in a head of a
guide (DINO), brought to CLIP's grid and scaled to the range of k::

    spectra   eigenvalues of k kᵀ and g gᵀ, divided by their sum; w = how far two are apart, from 0 to 1
    matching  each head gets a head of the guide, so that Σ (1 − w) is least
    G         g gᵀ / √d of rank r, its diagonal 0
    A         softmax((10 w G + k kᵀ / √d) / (10 w + 1) + ω)          ω as in NACLIP
    y         out_proj(A v)                                            patches alone

What it does to the texts is the stage ``cass-texts``, which the whole image in CLIP's space, given beside the tokens,
is for.

Its code has no licence; this follows published descriptions, and no reference output exists, since the published
method draws at random. Where we differ: the low rank is exact and the same in every run, the spectra are divided by
their sums, heads are matched once, and images enter the guide as they are (the code undoes CLIP's normalisation by
another's). The rank is 6, what PyTorch's randomised decomposition takes unless told otherwise.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.attention import is_residual, run_block
from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.contracts import Read
from densevl.dense.guides import GUIDES
from densevl.dense.operations.places import token_bias
from densevl.dense.operations.spectra import assign, low_rank, spectral_distances, spectrum
from densevl.dense.readouts.attention import on_patches
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["CASSReadout"]

PULL = 10.0
"""Factor of the distance of two spectra that weighs a guide's kernel."""


class CASSReadout(nn.Module):
    """Read the last block by keys and the kernels of a guide.

    Args:
        guide: a second encoder, its config or its name.
        heads: that the features of the guide are cut into.
        rank: of the guide's kernels.
        sigma: of the Gaussian of places, in patches.

    Raises:
        UsageError: where the guide is missing, or a setting is out of range.
    """

    def __init__(self, guide: Any = None, heads: int = 12, rank: int = 6, sigma: float = 5.0) -> None:
        super().__init__()
        if guide is None:
            raise UsageError(f"CASS attends by the keys of a guide; give it one of {', '.join(GUIDES.names)}")
        if heads < 1 or rank < 1 or not sigma > 0:
            raise UsageError(
                f"CASS takes one head or more, a rank from 1 and sigma above 0; got {heads}, {rank}, {sigma}"
            )
        self.guide = build(GUIDES, guide)
        self.heads, self.rank, self.sigma = heads, rank, sigma

    @property
    def needs(self) -> Needs:
        """The guide."""
        return Needs(guide=self.guide)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"cass(heads={self.heads}, rank={self.rank}, sigma={self.sigma}, guide={self.guide.name})"

    def forward(self, last: LastBlock) -> Float[Tensor, "b c h w"] | Read:
        """Tokens of the block on the patch grid, and the whole image, where the tower pools one.

        Raises:
            UsageError: where the block has lost its attention, or the guide's features do not fall into heads.
        """
        block = last.block
        keys, values = block.qkv(block.norm_1(last.tokens), "kv")
        if values.shape[1] == 0:
            return last.behind(values, False, False)
        patches, maps = on_patches(last, {"k": keys, "v": values})
        weights = self._weights(maps["k"], self._described(last))
        bias = token_bias(last.grid, 0, self.sigma, maps["v"])
        tokens = patches.behind((weights + bias).softmax(-1).to(maps["v"]) @ maps["v"], False, False)
        if last.pool is None or not is_residual(block):
            return tokens
        return Read(tokens, whole=last.pool(run_block(block, last.tokens)["out"]))

    def _described(self, last: LastBlock) -> Float[Tensor, "b heads n e"]:
        """The guide's features on the patch grid, head by head."""
        if last.guide is None:
            raise UsageError("CASS attends by the keys of a guide, whose features it was not given")
        found = last.guide.grid.float()
        if found.shape[1] % self.heads:
            raise UsageError(f"features of {found.shape[1]} numbers do not fall into {self.heads} heads; set `heads`")
        found = F.interpolate(found, last.grid, mode="bilinear", align_corners=False)
        return found.unflatten(1, (self.heads, -1)).flatten(3).mT

    def _weights(
        self, keys: Float[Tensor, "b heads n d"], described: Float[Tensor, "b m n e"]
    ) -> Float[Tensor, "b heads n n"]:
        """What goes into the softmax, without the places."""
        keys = keys.float()
        own, heads = keys.shape[-1] ** -0.5 * (keys @ keys.mT), keys.shape[1]
        described = described.repeat(1, -(-heads // described.shape[1]), 1, 1)
        described = _scaled_to(described, keys)
        distances = [spectral_distances(*pair) for pair in zip(spectrum(keys), spectrum(described), strict=True)]
        picked = torch.tensor([assign((1 - one).tolist()) for one in distances], device=keys.device)
        weigh = PULL * torch.stack(distances).gather(2, picked[..., None])[..., None]
        chosen = described.gather(1, picked[..., None, None].expand(-1, -1, *described.shape[2:]))
        kernel = low_rank(chosen, self.rank)
        kernel = described.shape[-1] ** -0.5 * (kernel @ kernel.mT)
        kernel.diagonal(dim1=-2, dim2=-1).zero_()
        return (weigh * kernel + own) / (weigh + 1)


def _scaled_to(values: Float[Tensor, "b m n e"], like: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b m n e"]:
    """Values moved and stretched, in each image, to the range of others; values that do not differ go to its least."""
    (low, high), (least, most) = ((one.amin((1, 2, 3), True), one.amax((1, 2, 3), True)) for one in (values, like))
    return (values - low) / (high - low).clamp(min=1e-6) * (most - least) + least
