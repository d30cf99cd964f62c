"""Rank-aware attention: in which way one image differs from another, by queries that look at both at once.

Source: Yu et al., Ranking-aware adapter for text-driven image ordering with CLIP, ICLR 2025,
https://arxiv.org/abs/2412.06760; reference uynaes/RankingAwareCLIP at commit 05fc5c5 (Apache-2.0), whose outputs are
matched.

A query q looks at the patches of both images of a pair with one softmax, and takes what it sees of the first less
what it sees of the second::

    k = LN(P x),  a = softmax(q k / sqrt(c)) over the patches of i and j together
    difference(i, j) = sum over patches of i of a k  -  sum over patches of j of a k

The reference computes this attention for each of the N² pairs. But the share of the softmax that falls on image i is
``sigmoid(z_i - z_j)``, with z the logarithm of the sum of the exponentials of one image, and inside an image the
softmax is that of the image alone. So one attention an image is enough, and a pair costs one weighted difference.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["RankAwareAttention"]

TOGETHER = 2**22
"""Numbers of weights of pairs that are held at once."""


class RankAwareAttention(nn.Module):
    """Differences between the images of pairs.

    Args:
        width: of tokens and queries.
        heads: of the attention; they divide the width.
    """

    def __init__(self, width: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.kv_proj, self.out_proj = (nn.Linear(width, width) for _ in range(3))
        self.ln_q, self.ln_kv = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, queries: Float[Tensor, "r c"], tokens: Float[Tensor, "n p c"]) -> Float[Tensor, "n n r c"]:
        """What each query finds in image i and not in image j.

        Args:
            queries: learnt.
            tokens: of each image.
        """
        seen, amounts = self._each(queries, tokens)
        share = torch.sigmoid(amounts[:, None] - amounts)[..., None]
        return self.out_proj((share * seen[:, None] - (1 - share) * seen).transpose(2, 3).flatten(3))

    def summed(
        self, queries: Float[Tensor, "r c"], tokens: Float[Tensor, "n p c"]
    ) -> Iterator[Float[Tensor, "some n c"]]:
        """The sum over the queries of what :meth:`forward` gives, for some images at a time against all."""
        seen, amounts = self._each(queries, tokens)
        for some in torch.arange(len(tokens)).split(max(1, TOGETHER // max(1, amounts.numel()))):
            share = torch.sigmoid(amounts[some][:, None] - amounts)
            own = torch.einsum("ijhr,ihrc->ijhc", share, seen[some])
            other = torch.einsum("ijhr,jhrc->ijhc", 1 - share, seen)
            yield nn.functional.linear(
                (own - other).flatten(2), self.out_proj.weight, len(queries) * self.out_proj.bias
            )

    def _each(
        self, queries: Float[Tensor, "r c"], tokens: Float[Tensor, "n p c"]
    ) -> tuple[Float[Tensor, "n h r e"], Float[Tensor, "n h r"]]:
        """What each query sees of each image by itself, and how much it finds there."""
        q = self.ln_q(self.q_proj(queries)).unflatten(1, (self.heads, -1)).transpose(0, 1)
        k = self.ln_kv(self.kv_proj(tokens)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        logits = q @ k.mT / q.shape[2] ** 0.5
        return logits.softmax(3) @ k, logits.logsumexp(3)
