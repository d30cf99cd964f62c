"""The contracts of tuning: what can be tuned inside an encoder, and what stands for class names.

A *tunable* holds the few numbers that are tuned, as parameters, and changes an encoder so that it computes with them.
What it learnt is a *delta* (:mod:`densevl.core.delta`): its parameters, and the encoder that they belong to.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from densevl.encoders.clip import CLIPEncoder

__all__ = ["ClassTexts", "Look", "Tunable", "moments"]


def moments(tokens: Float[Tensor, "*b n c"]) -> Float[Tensor, "*b 2 c"]:
    """Mean and standard deviation over tokens.

    Args:
        tokens: of each image, and of each block where there are several.
    """
    deviations, means = torch.std_mean(tokens, dim=-2, correction=0)
    return torch.stack([means, deviations], dim=-2)


class Look(NamedTuple):
    """What class texts may know of the images that they are compared with.

    Attributes:
        vectors: of each image or region, of unit length.
        states: mean and standard deviation over the tokens behind each block, the class token included, where the class
            texts ask for them; None otherwise.
    """

    vectors: Float[Tensor, "b d"]
    states: Float[Tensor, "b layers 2 c"] | None = None


@runtime_checkable
class Tunable(Protocol):
    """Numbers that are tuned inside an encoder: an ``nn.Module`` whose parameters are all that is learnt.

    It is built with the encoder first, ``Kind(encoder, **settings)``, and then changes nothing of what the encoder
    computes, or adds prompts drawn by a seed. A deep copy of an encoder with a tunable attached is not needed: whoever
    tunes attaches it to an encoder of its own. One whose change weights can say has ``foldable = True``; it is folded
    where a delta is loaded, so that it costs nothing then.

    Attributes:
        towers: the towers whose outputs change: ``"image"``, ``"text"`` or both. Where the image tower is not among
            them, images are encoded once and keep the identity of the encoder.
        settings: every setting, JSON values only.
    """

    towers: tuple[str, ...]

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def attach(self, encoder: CLIPEncoder) -> None:
        """From now on the encoder computes with these numbers, in all that it does; gradients flow to them.

        Raises:
            UsageError: where its towers are not of a kind that can be tuned so.
        """
        ...

    def fold(self, encoder: CLIPEncoder) -> None:
        """Write the change into the weights of the encoder, which then is a plain one.

        Raises:
            UsageError: where weights cannot say it, as with prompts.
        """
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


@runtime_checkable
class ClassTexts(Tunable, Protocol):
    """A tunable that says what stands for the names of classes: learnt words around them, of one kind or of several.

    Attributes:
        conditional: the texts depend on the image that they are compared with (CoCoOp, GOPro, MoCoOp).
        reads_states: they depend on the tokens of the image tower, not on its vector alone.
    """

    conditional: bool
    reads_states: bool

    def class_vectors(
        self, names: Sequence[str], look: Look | None = None
    ) -> Float[Tensor, "k d"] | Float[Tensor, "b k d"]:
        """Unit vectors of classes; of each image by itself where they are conditional.

        Args:
            names: of the classes, new ones too.
            look: at the images, where the texts are conditional.
        """
        ...
