"""The contracts of the dense family: what reads the last block, what refines features, what smooths scores.

Each says what it needs beside its input in :class:`densevl.encoders.contracts.Needs`, and what decides its result in
``name``, which stands in reports and in the fingerprint by which runs resume. Where a member needs all windows of an
image (``needs.windows``), its batch is these windows, in reading order; where it needs the texts (``needs.texts``), the
features that come of it serve one vocabulary.
"""

from dataclasses import fields
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from densevl.core.features import DenseFeatures
from densevl.encoders.contracts import Encoder, LastBlock, Needs

__all__ = ["PixelSmoothing", "Readout", "Refiner", "Smoothing", "named"]


@runtime_checkable
class Readout(Protocol):
    """Reads the last block of an image tower: tokens in, tokens of the patches out.

    Attributes:
        needs: what it uses of :class:`densevl.encoders.contracts.LastBlock` beside tokens and block.
        name: its kind and every setting, for reports and fingerprints.
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def name(self) -> str: ...

    def __call__(self, last: LastBlock, /) -> Float[Tensor, "b c h w"]:
        """Tokens before the last normalisation and the projection, on the grid of the patches or on a finer one."""
        ...


@runtime_checkable
class Refiner(Protocol):
    """Makes better dense features of dense features, without another pass of the encoder.

    Attributes:
        needs: maps, images or keys that it reads.
        name: its kind, weights and every setting, for reports and fingerprints.
        finds_foreground: whether its features separate things from background, as the background mode ``head`` needs.
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def name(self) -> str: ...

    @property
    def finds_foreground(self) -> bool: ...

    def check(self, encoder: Encoder, /) -> None:
        """Raise a ``WeightsError`` where the refiner was not made for the encoder."""
        ...

    def __call__(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"] | None = None, /) -> DenseFeatures:
        """Refine features of any batch.

        Args:
            features: with the maps and keys that were needed.
            images: behind the features, RGB in [0, 1]; None where they were not needed.
        """
        ...


@runtime_checkable
class Smoothing(Protocol):
    """Changes the class probabilities of the windows of one image on the patch grid.

    Attributes:
        needs: keys that it reads.
        name: its kind and every setting, for reports and fingerprints.
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def name(self) -> str: ...

    def __call__(self, probabilities: Float[Tensor, "n k h w"], features: DenseFeatures, /) -> Float[Tensor, "n k h w"]:
        """Smooth what the classifier gave for the features."""
        ...


@runtime_checkable
class PixelSmoothing(Protocol):
    """Changes the scores of an image at its pixels, by what the image shows.

    Attributes:
        name: its kind and every setting, for reports and fingerprints.
        on_pixels: True.
    """

    on_pixels: bool

    @property
    def name(self) -> str: ...

    def __call__(self, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"], /) -> Float[Tensor, "k H W"]:
        """Smooth scores of an image, which is RGB in [0, 1]."""
        ...


def named(kind: str, member: Any) -> str:
    """The name of a dataclass: its kind, and each field with its value.

    Args:
        kind: what users call it.
        member: an instance of a dataclass.
    """
    settings = ", ".join(f"{field.name}={getattr(member, field.name)!r}" for field in fields(member))
    return f"{kind}({settings})" if settings else kind
