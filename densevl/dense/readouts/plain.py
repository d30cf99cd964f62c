"""The last block as it was trained, its attention included: the baseline of every dense readout."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from densevl.core.attention import NoAttention
from densevl.core.errors import UsageError
from densevl.dense.contracts import Read
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["PlainReadout"]


@dataclass(frozen=True)
class PlainReadout:
    """Run the last block unchanged; patch tokens go through the projection that was trained for the pooled one.

    Attributes:
        attention: also hand out the scores of the class token and each patch in each head, before the softmax.
    """

    attention: bool = False

    needs = Needs()

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return "plain(attention=True)" if self.attention else "plain"

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"] | Read:
        """Tokens of the block on the patch grid."""
        return Read(last.output(), attention=_class_scores(last)) if self.attention else last.output()


def _class_scores(last: LastBlock) -> Float[Tensor, "b heads h w"]:
    """q kᵀ / √e of the first token and the patches.

    Raises:
        UsageError: where the tower has no class token, or its last block no attention.
    """
    if last.prefix < 1 or isinstance(last.block, NoAttention):
        raise UsageError("this image tower has no class token, so there are no scores of it; leave out attention=True")
    queries, keys = last.block.qkv(last.block.norm_1(last.tokens), "qk")
    if not keys.shape[1]:
        raise UsageError("the last block of this tower has lost its attention; leave out attention=True")
    scores = (queries[:, :, :1] * keys.shape[3] ** -0.5) @ keys[:, :, last.prefix :].mT
    return scores[:, :, 0].unflatten(2, last.grid)
