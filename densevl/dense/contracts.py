"""The contracts of the dense family: what reads the last block, what refines features, what changes
texts, scores and labels.

Each says what it needs beside its input in :class:`densevl.encoders.contracts.Needs`, and what decides its result in
``name``, which stands in reports and in the fingerprint by which runs resume. Where a member needs all windows of an
image (``needs.windows``), its batch is these windows, in reading order; where it needs the texts (``needs.texts``), the
features that come of it serve one vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.geometry import Size
from densevl.encoders.contracts import Encoder, LastBlock, Needs, Window

__all__ = [
    "CellStage",
    "Guide",
    "LabelStage",
    "Look",
    "PatchStage",
    "PixelStage",
    "Read",
    "Readout",
    "Refiner",
    "TextStage",
    "named",
]


@dataclass(frozen=True, eq=False)
class Read:
    """What a readout makes, where it is more than tokens of the patches of each image.

    Attributes:
        grid: on any grid that covers the encoded images evenly: of each image, or one where ``spliced``.
        joint: whether it lies in the joint space; tokens go through the encoder's head otherwise.
        whole: one vector for each image, in the joint space and not normalised.
        regions: the region of each cell of a grid of its own that covers the images evenly, below 0 for none.
        spliced: whether the grid is one map of the whole image that all of the batch were cut from; the readout needs
            ``windows`` then.
        attention: the scores of the class token and each patch in each head, before the softmax.
    """

    grid: Float[Tensor, "m c h w"]
    joint: bool = False
    whole: Float[Tensor, "b d"] | None = None
    regions: Int[Tensor, "b _ _"] | None = None
    spliced: bool = False
    attention: Float[Tensor, "b _ _ _"] | None = None


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

    def __call__(self, last: LastBlock, /) -> Float[Tensor, "b c h w"] | Read:
        """Tokens before the last normalisation and the projection, on any grid that covers the images evenly."""
        ...


@runtime_checkable
class Guide(Protocol):
    """A second encoder, whose features tell which patches of an image belong together; no text is compared with them.

    Attributes:
        name: its kind, weights and every setting, for reports and fingerprints.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, images: Float[Tensor, "b 3 H W"], /) -> DenseFeatures:
        """Features of images of one size, RGB in [0, 1], on a grid of its own that covers them evenly."""
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
class Look(Protocol):
    """Another look at an image: an encoder with the settings that dense features were made with.

    Attributes:
        encoder: the encoder.
    """

    @property
    def encoder(self) -> Encoder: ...

    def last_block(self, images: Float[Tensor, "b 3 H W"], needs: Needs = ..., /) -> LastBlock:
        """The last block of images of one size, RGB in [0, 1]."""
        ...


@runtime_checkable
class PatchStage(Protocol):
    """Changes the scores of the windows of one image on the patch grid.

    Attributes:
        needs: beside keys, which the features then carry, what it is called with by name: ``texts``, ``windows``
            (their boxes in the image), ``images`` (the windows themselves, RGB in [0, 1]) and ``encoder`` (a
            :class:`Look`).
        name: its kind and every setting, for reports and fingerprints.
        acts_on: ``"probabilities"`` of classes, or ``"cosines"`` of queries, as averages of logits are made of. A stage
            that does not say acts on probabilities.
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def name(self) -> str: ...

    def __call__(
        self, scores: Float[Tensor, "n k h w"], features: DenseFeatures, /, **given: Any
    ) -> Float[Tensor, "n k h w"]:
        """Better scores of the features."""
        ...


@runtime_checkable
class PixelStage(Protocol):
    """Changes the scores of an image at its pixels, by what the image shows.

    Attributes:
        needs: what it is called with by name: ``texts``; the image it has always.
        name: its kind and every setting, for reports and fingerprints.
        on_pixels: True.
        acts_on: ``"scores"``, those of queries where logits are averaged (cosines) and those of classes otherwise, or
            ``"probabilities"`` of classes, whichever way they were made. A stage that does not say acts on scores.
        class_by_class: whether the scores of each class change by themselves, so that a few can be taken at a time.

    A stage may have a method ``prepare(image)``, which looks at the image once and gives the function of the scores.
    """

    on_pixels: bool

    @property
    def name(self) -> str: ...

    def __call__(
        self, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"], /, **given: Any
    ) -> Float[Tensor, "k H W"]:
        """Better scores of an image, which is RGB in [0, 1]."""
        ...


@runtime_checkable
class CellStage(Protocol):
    """A stage of pixels that works on means over cells of the image, and stretches what it makes over it.

    Where it comes first and logits are averaged, no map of all pixels is made for it.
    """

    def cell(self, size: Size, /) -> Size:
        """Pixels (down, right) of a cell of an image of a size; what is left of a side is dropped."""
        ...

    def on_cells(
        self, scores: Float[Tensor, "q h w"], image: Float[Tensor, "3 H W"], /, **given: Any
    ) -> Float[Tensor, "q h w"]:
        """Better scores of the cells; the image has its whole size."""
        ...


@runtime_checkable
class TextStage(Protocol):
    """Changes the texts by what an image shows, before they are compared with it.

    Attributes:
        name: its kind and every setting, for reports and fingerprints.
        on_texts: True.
    """

    on_texts: bool

    @property
    def name(self) -> str: ...

    def __call__(self, texts: TextEmbeddings, features: DenseFeatures, /) -> TextEmbeddings:
        """Texts with the same vocabulary; a class that shall not be found loses its queries."""
        ...


@runtime_checkable
class LabelStage(Protocol):
    """Changes the labels of an image at its pixels.

    Attributes:
        name: its kind and every setting, for reports and fingerprints.
        on_labels: True.
    """

    on_labels: bool

    @property
    def name(self) -> str: ...

    def __call__(
        self, labels: Int[Tensor, "H W"], features: DenseFeatures, windows: Sequence[Window], /
    ) -> Int[Tensor, "H W"]:
        """Better labels.

        Args:
            labels: of the image as given.
            features: of its windows, with what a readout has found beside them.
            windows: their boxes in the resized image.
        """
        ...


def named(kind: str, member: Any) -> str:
    """The name of a dataclass: its kind, and each field with its value.

    Args:
        kind: what users call it.
        member: an instance of a dataclass.
    """
    settings = ", ".join(f"{field.name}={getattr(member, field.name)!r}" for field in fields(member))
    return f"{kind}({settings})" if settings else kind
