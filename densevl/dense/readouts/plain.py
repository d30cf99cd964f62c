"""The last block as it was trained, its attention included: the baseline of every dense readout."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["PlainReadout"]


@dataclass(frozen=True)
class PlainReadout:
    """Run the last block unchanged; patch tokens go through the projection that was trained for the pooled one."""

    name = "plain"
    needs = Needs()

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid."""
        return last.output()
