"""PEARL: keys are turned towards the queries before they are attended to.

Source: PEARL, CVPR 2026; reference code PGSmall/PEARL at commit c26062b. In each head of the last block, with the
tokens weighted by the length of their queries (the class token does not count), q_c and k_c less their weighted means::

    R = polar factor of k_cᵀ q_c           by 5 Newton–Schulz steps, see densevl.dense.operations.procrustes
    A = softmax(q (k R)ᵀ / √d + α k_c k_cᵀ / √d)
    x = out_proj(A v)                      no residual, no feed-forward layers

α is 0.08, and 0.3 on Cityscapes and ADE20K. Its label propagation is the stage ``tlp``.

Where we differ: any number of tokens before the patches, none of which counts.
"""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.dense.contracts import named
from densevl.dense.readouts.attention import AttentionReadout, Term
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["PEARLReadout"]


@dataclass(frozen=True)
class PEARLReadout:
    """Read the last block by queries and keys that were aligned.

    Attributes:
        alpha: how much the likeness of keys counts.
        steps: of Newton and Schulz; None for the exact rotation.
    """

    alpha: float = 0.08
    steps: int | None = 5

    needs = Needs()

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"PEARL takes one step or more, or null for the exact rotation; got {self.steps}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("pearl", self)

    @cached_property
    def _attention(self) -> AttentionReadout:
        return AttentionReadout(["qr", Term("cc", weight=self.alpha)], mix="before", steps=self.steps)

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid."""
        return self._attention(last)
