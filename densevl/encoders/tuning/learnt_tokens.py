"""Learnt tokens of a tower: they enter with its own, and are replaced or joined by more from block to block.

Sources: Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023, https://arxiv.org/abs/2210.03117, which replaces
them; D'Alessandro et al., Multimodal Parameter-Efficient Few-Shot Class Incremental Learning, ICCVW 2023,
https://arxiv.org/abs/2303.04751, which adds more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["MODES", "LearntTokens", "check_depth", "drawn"]

MODES = ("replace", "accumulate", "accumulate-same")
"""What becomes of learnt tokens before a block that has some of its own: they take the place of those before, join what
the blocks made of those before, or join those before as they were learnt."""

SPREAD = 0.02
"""Standard deviation of tokens that are drawn."""


@dataclass(frozen=True)
class LearntTokens:
    """Learnt tokens of the first blocks of a tower.

    Attributes:
        of: the tokens of a block by its place, "m c"; those of the first may be of each text by itself, "q m c".
        count: tokens of a block.
        depth: blocks that have some.
        mode: one of :data:`MODES`.
    """

    of: Callable[[int], Tensor]
    count: int
    depth: int = 1
    mode: str = "replace"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"learnt tokens go on in one of the ways {', '.join(MODES)}; got {self.mode!r}")

    def held(self, place: int) -> int:
        """Number of learnt tokens that enter a block."""
        return self.count * (1 if self.mode == "replace" else min(place + 1, self.depth))

    def renewed(self, place: int, x: Float[Tensor, "b n c"], start: int) -> Float[Tensor, "b m c"]:
        """What enters a block other than the first.

        Args:
            place: of the block.
            x: what the block before put out.
            start: number of tokens before the learnt ones.
        """
        if place >= self.depth:
            return x
        end = start + self.held(place - 1)
        fresh = range(place + 1) if self.mode == "accumulate-same" else (place,)
        learnt = torch.cat([self.of(one) for one in fresh]).to(x).expand(len(x), -1, -1)
        kept = end if self.mode == "accumulate" else start
        return torch.cat([x[:, :kept], learnt, x[:, end:]], dim=1)


def drawn(*shape: int) -> Float[Tensor, "*shape"]:
    """Tokens as learning begins with them: normally distributed, of standard deviation 0.02."""
    return SPREAD * torch.randn(shape)


def check_depth(depth: int, blocks: int, tower: str) -> None:
    """Refuse learnt tokens of more blocks than there are.

    Raises:
        UsageError: where there are fewer.
    """
    if not 1 <= depth <= blocks:
        raise UsageError(f"depth={depth} of learnt tokens: the {tower} tower has {blocks} blocks; give 1 to {blocks}")
