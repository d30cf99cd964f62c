"""The front door: load a model by name, segment images by words, find what an expression refers to.

For example::

    model = densevl.load("maskclip")
    result = model.segment("photo.jpg", ["cat", ["sofa", "couch"]], background="literal")
    result.areas()  # {"cat": 0.31, ...}
    result.save("labels.png")

    encoded = model.encode("photo.jpg")  # once
    model.segment(encoded, "cat, dog")  # as often as you like

    found = densevl.load("fgvp").refer("photo.jpg", "the left dog", proposals=[[10, 20, 200, 180], [220, 30, 400, 190]])
    found.box, found.mask, found.ranking
    print(found.explain())
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from densevl.background import Background
from densevl.errors import UsageError
from densevl.grounding import EncodedRegions, Grounder, Grounding, build_grounder
from densevl.grounding.proposals import Proposals
from densevl.images import read_image
from densevl.labelmap import LabelMap
from densevl.models import default_model, model_entry, models
from densevl.segmentors import EncodedImage, Segmentor, build_segmentor
from densevl.structures import TextEmbeddings
from densevl.vocabulary import Vocabulary

__all__ = ["Classes", "ImageSource", "Model", "load"]

ImageSource = str | Path | Image | np.ndarray | Tensor
"""A file, a PIL image, an array (H, W[, C]) or a tensor (3, H, W); see :func:`densevl.read_image`."""

Classes = str | Sequence[str | Sequence[str]] | Vocabulary | TextEmbeddings
"""``"cat, sofa|couch"``, ``["cat", ["sofa", "couch"]]``, a vocabulary, or one that :meth:`Model.embed` embedded."""


class Model:
    """A segmentor, a grounder or both, with the conveniences of reading images and class names.

    Args:
        segmentor: the built segmentor; None where there is none.
        name: what reports call it.
        grounder: the built grounder, or what builds it when it is first used; likewise.
    """

    def __init__(
        self,
        segmentor: Segmentor | None,
        name: str = "custom",
        grounder: Grounder | Callable[[], Grounder] | None = None,
    ) -> None:
        self._segmentor, self._grounder = segmentor, grounder
        self.name = name
        self._texts: dict[tuple[Vocabulary, str], TextEmbeddings] = {}

    def __repr__(self) -> str:
        if self._segmentor is None:
            return f"Model({self.name!r}, grounder, device={self.grounder.device})"
        return f"Model({self.name!r}, encoder={self.segmentor.encoder.model_id!r}, device={self.segmentor.device})"

    @property
    def segmentor(self) -> Segmentor:
        """What gives label maps.

        Raises:
            UsageError: where the model only finds regions.
        """
        if self._segmentor is None:
            raise UsageError(f"model {self.name!r} finds regions and labels no pixels; take one such as maskclip")
        return self._segmentor

    @property
    def grounder(self) -> Grounder:
        """What finds regions.

        Raises:
            UsageError: where the model only labels pixels.
        """
        if self._grounder is None:
            able = ", ".join(name for name, entry in models().items() if entry.grounder)
            raise UsageError(f"model {self.name!r} labels pixels and tells no regions apart; take one of {able}")
        if not isinstance(self._grounder, Grounder):
            self._grounder = self._grounder()
        return self._grounder

    @overload
    def refer(  # type: ignore[overload-overlap]
        self, image: ImageSource | EncodedRegions, expressions: str, proposals: Proposals | None = None
    ) -> Grounding: ...
    @overload
    def refer(
        self, image: ImageSource | EncodedRegions, expressions: Sequence[str], proposals: Proposals | None = None
    ) -> list[Grounding]: ...
    def refer(
        self, image: ImageSource | EncodedRegions, expressions: str | Sequence[str], proposals: Proposals | None = None
    ) -> Grounding | list[Grounding]:
        """Find the region that an expression refers to, such as "the left dog".

        Args:
            image: an image, or one whose regions :meth:`encode_regions` embedded.
            expressions: one, or a list of them, for which the image is encoded once.
            proposals: what to choose from: regions, boxes "n 4" (xyxy), bool masks "n H W", or a JSON file of boxes;
                None lets the model's mask maker or detector propose.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where an expression is empty or too long, or there are no usable proposals.
        """
        if isinstance(image, EncodedRegions):
            return self.grounder.refer(image, expressions)
        return self.grounder.refer(read_image(image), expressions, proposals, _file_name(image))

    def encode_regions(self, image: ImageSource, proposals: Proposals | None = None) -> EncodedRegions:
        """Embed the regions of an image, to be asked about later with :meth:`refer`.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where there are no usable proposals.
        """
        return self.grounder.encode(read_image(image), proposals, _file_name(image))

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
    name: str | Mapping[str, Any] | None = None,
    *,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    **overrides: Any,
) -> Model:
    """Load a model.

    Args:
        name: a name from ``densevl models``, or the config of a segmentor, or of a grounder; None takes ``dinoiser``,
            or ``maskclip`` where the network is not to be used and only its weights are here.
        weights: of the encoder, in the place of the model's own: a file or a name.
        device: where to run; None takes a GPU where there is one.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network; a missing file is an error that tells where to put it.
        overrides: arguments of :class:`densevl.Segmentor` that replace the model's own, such as ``short_side=336``;
            of the grounder where the model has no segmentor.

    Raises:
        UsageError: where the name, the device, the dtype or an override is unknown.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    if name is None:
        name, _ = default_model(offline)
    place = _device(device)
    called = name if isinstance(name, str) else "custom"
    own = None if weights is None else str(weights)
    if model_entry(name).segmentor if isinstance(name, str) else "embedders" not in name:
        segmentor = build_segmentor(name, own, dtype, offline, **overrides).to(place)
        able = isinstance(name, str) and bool(model_entry(name).grounder)
        return Model(segmentor, called, (lambda: build_grounder(name, own, dtype, offline).to(place)) if able else None)
    return Model(None, called, build_grounder(name, own, dtype, offline, **overrides).to(place))


def _file_name(image: ImageSource) -> str | None:
    return Path(image).name if isinstance(image, str | Path) else None


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
