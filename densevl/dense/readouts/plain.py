"""The last block as it was trained, its attention included: the baseline of every dense readout."""

from dataclasses import dataclass

from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from densevl.core.attention import keys, run_block
from densevl.core.registry import READOUTS
from densevl.dense.contracts import ReadTokens

__all__ = ["PlainReadout"]


@READOUTS.register_module("plain")
@dataclass(frozen=True)
class PlainReadout:
    """Run the last block unchanged; patch tokens go through the projection that was trained for the pooled one."""

    def __call__(self, block: ResidualAttentionBlock, x: Float[Tensor, "b n c"], want_keys: bool) -> ReadTokens:
        """Tokens of the block, and its keys where they are wanted."""
        parts = run_block(block, x)
        return ReadTokens(parts["out"], keys(block.attn, parts["ln_1"]) if want_keys else None)
