"""The contracts of the dense family."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from densevl.core.features import DenseFeatures

__all__ = ["ReadTokens", "Readout", "Refiner"]


class Refiner(Protocol):
    """What the segmentor asks of a refiner.

    Attributes:
        wants_images: whether it is called with the images (RGB in [0, 1]) behind the features, too.
        name: what reports call it: its kind, weights and settings.
        intermediates: maps of the encoder that it reads, such as ``"blocks.-3.ln_2"``.
        finds_foreground: whether its features tell things from background, as the background mode ``head`` needs.
    """

    wants_images: bool
    name: str
    intermediates: Sequence[str]
    finds_foreground: bool

    def check(self, encoder: Any) -> None:
        """Raise a ``WeightsError`` where the refiner was not made for the encoder."""
        ...

    def __call__(self, features: DenseFeatures, *images: Tensor) -> DenseFeatures:
        """Refine features of any batch; ``features.intermediates`` holds the maps that were asked for."""
        ...


class ReadTokens(NamedTuple):
    """What a readout takes from the last block.

    Attributes:
        tokens: one token for the class and one for each patch, before ``ln_post`` and the projection.
        keys: keys of the block's attention, heads concatenated; None where nobody asked for them.
    """

    tokens: Float[Tensor, "b n c"]
    keys: Float[Tensor, "b n c"] | None


Readout = Callable[[ResidualAttentionBlock, Tensor, bool], ReadTokens]
"""How the last block is read: (block, its input "b n c", whether keys are wanted) to tokens and keys."""
