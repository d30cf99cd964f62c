"""The front door: load a model by name, segment images by words.

For example::

    model = densevl.load("maskclip")
    result = model.segment("photo.jpg", ["cat", ["sofa", "couch"]], background="literal")
    result.areas()  # {"cat": 0.31, ...}
    result.save("labels.png")

    encoded = model.encode("photo.jpg")  # once
    model.segment(encoded, "cat, dog")  # as often as you like
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from densevl.background import Background
from densevl.errors import UsageError
from densevl.images import read_image
from densevl.labelmap import LabelMap
from densevl.segmentors import EncodedImage, Segmentor, build_segmentor
from densevl.structures import TextEmbeddings
from densevl.vocabulary import Vocabulary

__all__ = ["Classes", "ImageSource", "Model", "load"]

ImageSource = str | Path | Image | np.ndarray | Tensor
"""A file, a PIL image, an array (H, W[, C]) or a tensor (3, H, W); see :func:`densevl.read_image`."""

Classes = str | Sequence[str | Sequence[str]] | Vocabulary | TextEmbeddings
"""``"cat, sofa|couch"``, ``["cat", ["sofa", "couch"]]``, a vocabulary, or one that :meth:`Model.embed` embedded."""


class Model:
    """A segmentor with the conveniences of reading images and class names.

    Args:
        segmentor: the built segmentor.
        name: what reports call it.
    """

    def __init__(self, segmentor: Segmentor, name: str = "custom") -> None:
        self.segmentor = segmentor
        self.name = name
        self._texts: dict[tuple[Vocabulary, str], TextEmbeddings] = {}

    def __repr__(self) -> str:
        return f"Model({self.name!r}, encoder={self.segmentor.encoder.model_id!r}, device={self.segmentor.device})"

    @overload
    def encode(self, images: ImageSource) -> EncodedImage: ...  # type: ignore[overload-overlap]
    @overload
    def encode(self, images: Sequence[ImageSource]) -> list[EncodedImage]: ...
    def encode(self, images: ImageSource | Sequence[ImageSource]) -> EncodedImage | list[EncodedImage]:
        """Encode one image or a list of them, to be asked about later.

        Raises:
            ImageError: where an image cannot be read.
        """
        if not isinstance(images, list | tuple):
            return self.encode([images])[0]  # type: ignore[list-item]
        return self.segmentor.encode([read_image(image) for image in images])

    @overload
    def segment(  # type: ignore[overload-overlap]
        self, images: ImageSource | EncodedImage, classes: Classes, *, background: Any = None, scores: bool = False
    ) -> LabelMap: ...
    @overload
    def segment(
        self,
        images: Sequence[ImageSource | EncodedImage],
        classes: Classes,
        *,
        background: Any = None,
        scores: bool = False,
    ) -> list[LabelMap]: ...
    def segment(
        self,
        images: ImageSource | EncodedImage | Sequence[ImageSource | EncodedImage],
        classes: Classes,
        *,
        background: Any = None,
        scores: bool = False,
    ) -> LabelMap | list[LabelMap]:
        """Give every pixel the class that suits it best.

        Args:
            images: an image, an encoded image, or a list of them.
            classes: the class names, synonyms grouped.
            background: what becomes of pixels that show none of the classes: None (the model's own mode), ``"none"``,
                ``"literal"``, words such as ``["sky", "wall"]`` or ``"words"`` for a built-in list, or a threshold in
                (0, 1). See :class:`densevl.Background`.
            scores: also return the probability of every class at every pixel (k, H, W).

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the classes or the background cannot be used.
        """
        if not isinstance(images, list | tuple):
            return self.segment([images], classes, background=background, scores=scores)[0]  # type: ignore[list-item]
        texts = self.embed(classes, background)
        fresh = [image for image in images if not isinstance(image, EncodedImage)]
        encoded = iter(self.encode(fresh))
        return [
            self._label(image if isinstance(image, EncodedImage) else next(encoded), texts, scores) for image in images
        ]

    def embed(self, classes: Classes, background: Any = None) -> TextEmbeddings:
        """Embed a vocabulary; the last few are remembered."""
        if isinstance(classes, TextEmbeddings):
            return classes
        vocabulary = Vocabulary.of(classes)
        key = (vocabulary, str(Background.parse(background)) if background is not None else "")
        if key not in self._texts:
            while len(self._texts) >= 8:
                self._texts.pop(next(iter(self._texts)))
            self._texts[key] = self.segmentor.embed(vocabulary, background)
        return self._texts[key]

    def _label(self, encoded: EncodedImage, texts: TextEmbeddings, scores: bool) -> LabelMap:
        labels, best = self.segmentor.label(encoded, texts)
        return LabelMap(
            labels.cpu().numpy(),
            texts.vocabulary,
            image=encoded.image,
            best=best.cpu().numpy(),
            scores=self.segmentor.scores(encoded, texts) if scores else None,
        )


def load(
    name: str | Mapping[str, Any] = "maskclip",
    *,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    **overrides: Any,
) -> Model:
    """Load a model.

    Args:
        name: a name from ``densevl models``, or a segmentor config.
        weights: of the encoder, in the place of the model's own: a file or a name.
        device: where to run; None takes a GPU where there is one.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network; a missing file is an error that tells where to put it.
        overrides: arguments of :class:`densevl.Segmentor` that replace the model's own, such as ``short_side=336``.

    Raises:
        UsageError: where the name, the device, the dtype or an override is unknown.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    place = _device(device)
    segmentor = build_segmentor(name, None if weights is None else str(weights), dtype, offline, **overrides)
    return Model(segmentor.to(place), name if isinstance(name, str) else "custom")


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {str(device)!r} cannot be used here ({reason}); try `cpu`") from None
    return chosen
