"""GLA-CLIP, after the paper: each patch attends to the patches of all windows of an image that a guide finds alike.

Source: GLA-CLIP, CVPR 2026, from published descriptions; its code, which is not free for every use, was not read. With
x the unit features of a guide of all patches of all L windows, v the values of CLIP's last block on their grid, and the
proxy query of patch i found by mean shift::

    q_i ← x_i          then twice    q_i ← unit(mean of x_j with q_iᵀ x_j > 0.6)
    P_i = patches with q_iᵀ x_j > 0.6
    S_ij = q_iᵀ x_j      β = 1 + 0.3 ln(1 + L)      γ_i = 1 + 30 / |P_i|
    A = softmax of (S − β mean S) γ_i, entries below 0 left out
    y = out_proj(A v)

What the descriptions leave open and we have set: L counts windows (for one window β is then 1.2, that of ProxyCLIP);
P_i is that of the query behind the last shift, and holds the patch itself.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.guides import GUIDES
from densevl.dense.operations.affinity import gate
from densevl.dense.readouts.attention import on_guide
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["GLAReadout", "proxy_queries"]

COSINES_AT_ONCE = 2**24
"""Entries of the patch-by-patch matrix that are held together: 64 MiB in float32."""


def proxy_queries(
    queries: Float[Tensor, "n c"], units: Float[Tensor, "m c"], radius: float, shifts: int
) -> Float[Tensor, "n c"]:
    """Queries moved to the mean of what is like them.

    Args:
        queries: unit vectors, of the patches that attend.
        units: unit vectors of all patches.
        radius: least cosine of what is taken in; a query that finds nothing stays.
        shifts: how often.
    """
    for _ in range(shifts):
        near = (queries @ units.mT > radius).to(units)
        moved = F.normalize(near @ units, dim=1)
        queries = torch.where(near.any(dim=1, keepdim=True), moved, queries)
    return queries


class GLAReadout(nn.Module):
    """Read the last block by the likeness of patches across windows.

    Args:
        guide: a second encoder, its config or its name.
        radius: least cosine of the patches that a query is moved to.
        shifts: of the queries.

    Raises:
        UsageError: where the guide is missing, or a setting is out of range.
    """

    def __init__(self, guide: Any = None, radius: float = 0.6, shifts: int = 2) -> None:
        super().__init__()
        if guide is None:
            raise UsageError(f"GLA-CLIP compares patches by a guide; give it one of {', '.join(GUIDES.names)}")
        if not 0 < radius < 1 or shifts < 0:
            raise UsageError(f"GLA-CLIP takes a radius between 0 and 1, and no or more shifts; got {radius}, {shifts}")
        self.guide = build(GUIDES, guide)
        self.radius, self.shifts = radius, shifts

    @property
    def needs(self) -> Needs:
        """The guide, and all windows of an image."""
        return Needs(guide=self.guide, windows=True)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"gla-clip(radius={self.radius}, shifts={self.shifts}, guide={self.guide.name})"

    def forward(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the grid of the guide.

        Raises:
            UsageError: where the block has lost its attention.
        """
        block = last.block
        (values,) = block.qkv(block.norm_1(last.tokens), "v")
        if values.shape[1] == 0:
            return last.behind(values, False, False)
        last, maps, units = on_guide(last, {"v": values})
        windows, _, count, _ = maps["v"].shape
        gathered = maps["v"].transpose(1, 2).flatten(2).flatten(0, 1)
        mixed = self._gather(units.flatten(0, 1), gathered, windows)
        mixed = mixed.unflatten(0, (windows, count)).unflatten(2, (maps["v"].shape[1], -1)).transpose(1, 2)
        return last.behind(mixed, False, False)

    def _gather(self, units: Float[Tensor, "m c"], values: Float[Tensor, "m e"], windows: int) -> Float[Tensor, "m e"]:
        """What each patch gathers of all, a few patches at a time."""
        rows = torch.arange(len(units), device=units.device).split(max(1, COSINES_AT_ONCE // len(units)))
        queries = torch.cat([proxy_queries(units[some], units, self.radius, self.shifts) for some in rows])
        mean = queries.mean(0) @ units.mean(0)  # of all pairs
        beta = 1 + 0.3 * math.log(1 + windows)
        parts = []
        for some in rows:
            cosines = queries[some] @ units.mT
            gamma = 1 + 30 / (cosines > self.radius).sum(1, keepdim=True).clamp(min=1)
            weights = gate(cosines[None], beta, gamma.to(cosines), mean=mean, own=some)[0]
            parts.append(weights @ values)
        return torch.cat(parts)
