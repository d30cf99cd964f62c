"""The contract of all that makes label maps, for the API and the benchmarks."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from densevl.classifiers.contracts import Classifier
from densevl.core.background import Background
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size
from densevl.core.understood import Understood
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.contracts import Encoder
from densevl.tasks.segmentation.encoded import EncodedImage

__all__ = ["LabelMaker"]


@runtime_checkable
class LabelMaker(Protocol):
    """Makes label maps from class names, such as :class:`densevl.Segmentor`.

    Attributes:
        encoder: the encoder of the dense features.
        templates: name of the text templates.
        short_side: short side in pixels that images are resized to before :meth:`encode_resized`; None for their own.
        long_side: largest side in pixels after resizing.
        background: the background mode where :meth:`embed` is given none.
        temperature: factor of the cosines before the softmax.
        device: where the weights are.
        protocol: everything that decides a label map, for reports: JSON values only.
    """

    @property
    def encoder(self) -> Encoder: ...

    @property
    def templates(self) -> str: ...

    @property
    def short_side(self) -> int | None: ...

    @property
    def long_side(self) -> int: ...

    @property
    def background(self) -> Background: ...

    @property
    def temperature(self) -> float: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def protocol(self) -> Mapping[str, Any]: ...

    @property
    def encodes_for_texts(self) -> bool:
        """True where an image must be encoded together with its classes, and cannot be labelled with others."""
        ...

    def encode(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], texts: TextEmbeddings | None = None
    ) -> Sequence[EncodedImage]:
        """Resize and encode RGB images, each any size."""
        ...

    def encode_resized(
        self,
        images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]],
        sizes: Sequence[Size],
        texts: TextEmbeddings | None = None,
    ) -> Sequence[EncodedImage]:
        """Encode images that have been resized to :attr:`short_side`.

        Args:
            images: RGB, bytes or floats in [0, 1].
            sizes: (height, width) of each label map.
            texts: the classes that they are encoded for, where :attr:`encodes_for_texts` says so.
        """
        ...

    def embed(self, vocabulary: Vocabulary, background: Any = None, partly: bool = False) -> TextEmbeddings:
        """Embed the classes, with the background class that the mode asks for.

        Args:
            vocabulary: the classes.
            background: a background mode; None for its own.
            partly: whether classes that an encoder of certain words does not know are left without a query.
        """
        ...

    def understood(self, vocabulary: Vocabulary, background: Any = None) -> Understood | None:
        """How the encoder reads the queries; None for one that takes any text."""
        ...

    def label(
        self, encoded: EncodedImage, classes: TextEmbeddings | Classifier, /
    ) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The most probable class of every pixel, and its probability."""
        ...

    def scores(self, encoded: EncodedImage, classes: TextEmbeddings | Classifier, /) -> Float32[Tensor, "k H W"]:
        """The probability of every class at every pixel."""
        ...
