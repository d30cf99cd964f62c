"""The segmentor: an encoder, the way its last block is read, and the labelling, put together.

Encode an image once, then ask it as many vocabularies as you like:

    encoded, = segmentor.encode([image])
    texts = segmentor.embed(Vocabulary.parse("cat, sofa|couch"))
    labels, best = segmentor.label(encoded, texts)

The protocol is that of MaskCLIP (Zhou et al., ECCV 2022, https://arxiv.org/abs/2112.01071) as CLIP-DINOiser
(Wysoczańska et al., ECCV 2024, https://arxiv.org/abs/2312.12359) evaluates it: short side 448, windows of 448 pixels
with stride 224, probabilities softmax(100 · cosine) on the patch grid of each window, upsampled and averaged.
Differences: synonyms are reduced by their maximum over every class, before the softmax; any batch of images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor, nn

from densevl.classifiers.text import class_probabilities
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings, check_same_model
from densevl.core.geometry import Size, resized_size
from densevl.core.images import resize_image, to_tensor
from densevl.core.registry import ENCODERS, READOUTS, REFINERS, SEGMENTORS, build
from densevl.core.vocabulary import Vocabulary, templates
from densevl.dense.readouts import denoise, smooth_by_keys
from densevl.dense.refiners import mark_background
from densevl.tasks.segmentation.labelling import label, scores
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["EncodedImage", "Segmentor"]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """What the encoder saw in one image: ask it any vocabulary, any number of times.

    Attributes:
        features: dense features of every window, ``n`` of them.
        plan: where the windows lie in the resized image.
        size: (height, width) of the image as given; label maps come in this size.
        image: the image as given, uint8 RGB (H, W, 3), for overlays; None where a pipeline resized it beforehand.
    """

    features: DenseFeatures
    plan: WindowPlan
    size: Size
    image: UInt8[np.ndarray, "H W 3"] | None = None


@SEGMENTORS.register_module()
class Segmentor(nn.Module):
    """Label maps from class names.

    Args:
        encoder: a built encoder or its config.
        readout: how the last block is read: a built readout, its config, or its name.
        refiners: modules that map dense features to dense features, in order.
        templates: name of the text templates.
        short_side: images are resized so that their short side has this many pixels; None keeps their size.
        long_side: no side exceeds this many pixels after resizing.
        window: side of the square windows in pixels; None for the whole image at once.
        stride: step between windows in pixels.
        background: background mode where :meth:`label` is not told another; see :class:`Background`.
        temperature: multiplies the cosines before the softmax.
        denoise: prompt denoising: classes whose best probability in the image stays below this are dropped; None
            for off (MaskCLIP uses 0.5).
        smooth: key smoothing: patches whose best probability is below this are replaced by a mean weighted by the
            likeness of keys; None for off.
        legacy_smoothing: weights of key smoothing as in the reference code, which normalises keys over tokens.
        window_batch: windows that go through the encoder together.
    """

    def __init__(
        self,
        encoder: nn.Module | Mapping[str, Any],
        readout: Any = "maskclip",
        refiners: Sequence[Any] = (),
        templates: str = "imagenet80",
        short_side: int | None = 448,
        long_side: int = 2048,
        window: int | None = 448,
        stride: int = 224,
        background: Any = None,
        temperature: float = 100.0,
        denoise: float | None = None,
        smooth: float | None = None,
        legacy_smoothing: bool = False,
        window_batch: int = 4,
    ) -> None:
        super().__init__()
        if window is not None and not 0 < stride <= window:
            raise UsageError(f"stride must lie between 1 and the window ({window}); got {stride}")
        for name, value in (("denoise", denoise), ("smooth", smooth)):
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} is a probability between 0 and 1; got {value}")
        self.encoder = build(ENCODERS, encoder)
        self.readout_name = readout if isinstance(readout, str) else type(readout).__name__
        self.readout = build(READOUTS, readout)
        self.refiners = nn.ModuleList(build(REFINERS, refiner) for refiner in refiners)
        for refiner in self.refiners:
            refiner.check(self.encoder)  # type: ignore[operator]
        self.templates = templates
        self.short_side, self.long_side = short_side, long_side
        self.window, self.stride = window, stride
        self.background = Background.parse(background)
        self.temperature = temperature
        self.denoise, self.smooth, self.legacy_smoothing = denoise, smooth, legacy_smoothing
        self.window_batch = window_batch
        self._check_background(self.background)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a label map, for reports: plain values only."""
        return {
            "encoder": self.encoder.model_id,
            "readout": self.readout_name,
            "refiners": [refiner.name for refiner in self.refiners],
            "templates": self.templates,
            "short_side": self.short_side,
            "long_side": self.long_side,
            "window": self.window,
            "stride": self.stride,
            "background": str(self.background),
            "temperature": self.temperature,
            "denoise": self.denoise,
            "smooth": self.smooth,
            "legacy_smoothing": self.legacy_smoothing,
            "dtype": str(next(self.parameters()).dtype).removeprefix("torch."),
        }

    def encode(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[EncodedImage]:
        """Resize RGB images and encode them, each any size."""
        tensors = []
        for image in images:
            size = image.shape[:2]
            if self.short_side is not None:
                size = resized_size(size, self.short_side, self.long_side)
            tensors.append(to_tensor(resize_image(image, size)))
        encoded = self.encode_resized(tensors, [image.shape[:2] for image in images])
        return [replace(one, image=image) for one, image in zip(encoded, images, strict=True)]

    @torch.inference_mode()
    def encode_resized(
        self, images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]], sizes: Sequence[Size]
    ) -> list[EncodedImage]:
        """Encode images that a pipeline has already resized.

        Args:
            images: RGB, bytes or floats in [0, 1], each any size.
            sizes: (height, width) that the label map of each image shall have.
        """
        images = [image.float().div_(255) if image.dtype == torch.uint8 else image for image in images]
        plans = [WindowPlan((image.shape[1], image.shape[2]), self.window, self.stride) for image in images]
        crops = [plan.crop(image[None].to(self.device)) for plan, image in zip(plans, images, strict=True)]
        features: list[DenseFeatures] = [None] * len(crops)  # type: ignore[list-item]
        order = sorted(range(len(crops)), key=lambda i: crops[i].shape[2:])
        for _, group in groupby(order, key=lambda i: crops[i].shape[2:]):
            members = list(group)
            encoded = self._encode_windows(torch.cat([crops[i] for i in members]))
            for i, part in zip(members, encoded.split([len(crops[i]) for i in members]), strict=True):
                features[i] = part
        return [EncodedImage(*parts) for parts in zip(features, plans, sizes, strict=True)]

    def _encode_windows(self, windows: Float[Tensor, "n 3 H W"]) -> DenseFeatures:
        refiners: list[Any] = list(self.refiners)
        wanted = sorted({name for refiner in refiners for name in refiner.intermediates})
        parts = []
        for batch in windows.split(self.window_batch):
            features = self.encoder.dense(batch, self.readout, intermediates=wanted, keys=self.smooth is not None)
            for refiner in refiners:
                features = refiner(features, batch) if refiner.wants_images else refiner(features)
            parts.append(replace(features, intermediates={}))
        return DenseFeatures.cat(parts)

    @torch.inference_mode()
    def embed(self, vocabulary: Vocabulary, background: Any = None) -> TextEmbeddings:
        """Embed the queries of a vocabulary, extended by the background class that the mode asks for.

        Args:
            vocabulary: the classes.
            background: a background mode as :meth:`Background.parse` reads it; None for the segmentor's own.
        """
        return self.embed_with(self.encoder, vocabulary, background)

    def embed_with(self, encoder: Any, vocabulary: Vocabulary, background: Any = None) -> TextEmbeddings:
        """As :meth:`embed`, by another text encoder."""
        mode = self.background if background is None else Background.parse(background)
        self._check_background(mode)
        vocabulary = mode.extend(vocabulary)
        silent = vocabulary.background if mode.mode == "threshold" else None
        asked = [pair for pair in zip(vocabulary.queries, vocabulary.query_classes, strict=True) if pair[1] != silent]
        vectors = encoder.embed_texts([query for query, _ in asked], templates(self.templates))
        query_classes = torch.tensor([owner for _, owner in asked], device=vectors.device)
        return TextEmbeddings(
            vectors, query_classes, vocabulary, encoder.model_id, self.templates, mode.threshold, mode.delta
        )

    def _check_background(self, mode: Background) -> None:
        if mode.mode == "head" and not any(refiner.finds_foreground for refiner in self.refiners):
            raise UsageError(
                "background mode `head` needs a model with a background head, such as dinoiser, and this one has none; "
                "take that model, or another mode: literal, words, threshold:0.5"
            )

    @torch.inference_mode()
    def probabilities(self, encoded: EncodedImage, texts: TextEmbeddings) -> Float32[Tensor, "n k h w"]:
        """Class probabilities on the patch grid of every window, with denoising and smoothing where asked for.

        With the background mode ``head``, patches that it marks have probability 1 for the background class; the
        others keep theirs.
        """
        check_same_model(encoded.features, texts)
        result = class_probabilities(encoded.features.grid, texts, self.temperature)
        if self.denoise is not None:
            result = denoise(result, self.denoise)
        if self.smooth is not None:
            result = smooth_by_keys(result, encoded.features.keys, self.smooth, legacy=self.legacy_smoothing)
        background, foreground = texts.vocabulary.background, encoded.features.foreground
        if texts.delta is not None and background is not None:
            if foreground is None:
                raise UsageError("the image was encoded without a background head; encode it with a model that has one")
            result = mark_background(result, foreground, background, texts.delta)
        return result

    @torch.inference_mode()
    def label(self, encoded: EncodedImage, texts: TextEmbeddings) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The most probable class of every pixel of the image as given, and its probability."""
        return label(
            self.probabilities(encoded, texts),
            encoded.plan,
            encoded.features.patch_size,
            encoded.size,
            threshold=texts.threshold,
            background=None if texts.threshold is None else texts.vocabulary.background,
        )

    @torch.inference_mode()
    def scores(self, encoded: EncodedImage, texts: TextEmbeddings) -> Float32[Tensor, "k H W"]:
        """Probability of every class at every pixel of the image as given."""
        return scores(self.probabilities(encoded, texts), encoded.plan, encoded.features.patch_size, encoded.size)
