"""Label maps painted region by region: proposals, their embeddings, the class of each, pixels.

1. A mask maker proposes the regions of an image, or the caller gives them.
2. A region embedder turns each into a vector: marked images as in FGVP (Yang et al., Fine-Grained Visual Prompting,
   NeurIPS 2023, https://arxiv.org/abs/2306.04356), or features pooled over the mask.
3. A region's probabilities are softmax(temperature · cosine) over the classes, the largest cosine over the synonyms of
   a class. Where a region is marked with several visual prompts, the cosines are summed, as FGVP does.
4. A pixel takes what the regions that cover it say, by one of four rules; a pixel that no region covers is labelled
   by the dense segmentation of the same encoder, by the nearest region, as background, or as nothing in particular.

FGVP itself has no label maps; steps 1 and 4 are ours. A pixel's probabilities depend only on the *set* of regions that
cover it, and an image has few different sets, so that no ``k × H × W`` tensor is needed for labels.

Convention: regions are made and embedded on the image as it comes in, and masks have its size.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64, UInt8
from torch import Tensor, nn

from densevl.classifiers.contracts import Classifier
from densevl.classifiers.text import TextClassifier, region_logits
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size
from densevl.core.images import to_bytes
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.core.understood import Understood
from densevl.core.vocabulary import Vocabulary
from densevl.encoders import ENCODERS
from densevl.encoders.contracts import Encoder
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.painting import OVERLAPS, coverage_of_regions, covering_sets, resize_sets, spread_sets
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["UNCOVERED", "RegionEncodedImage", "RegionSegmentor", "RegionTextEmbeddings"]

UNCOVERED = ("dense", "nearest", "background", "even")
"""Where no region lies: the dense segmentation, the nearest covered pixel, the background class, or the same for every
class, which is the background below a threshold and the first class without one (TextRegion)."""


@dataclass(frozen=True, eq=False)
class RegionEncodedImage(EncodedImage):
    """An image with its regions and their embeddings: ask it any vocabulary, any number of times.

    Attributes:
        regions: of the image as it came in, with masks.
        embeddings: one a region.
    """

    regions: Regions | None = None
    embeddings: RegionEmbeddings | None = None


@dataclass(frozen=True, eq=False)
class RegionTextEmbeddings(TextEmbeddings):
    """A vocabulary in the space of regions that are not of the encoder's own, such as those of a prompter.

    Attributes:
        dense: the same by the encoder, for the dense segmentation; None where that is not used.
    """

    dense: TextEmbeddings | None = None


class RegionSegmentor(nn.Module):
    """Label maps from class names, painted region by region.

    Args:
        encoder: a built encoder or its config, for the dense segmentation.
        embedder: a built region embedder, or its config, to which the encoder is handed. Its own encoder embeds the
            texts that regions are compared with.
        mask_maker: what proposes regions: a built mask maker, its config or its name; None where regions are always
            given to :meth:`encode_regions`.
        overlap: one of :data:`densevl.tasks.segmentation.painting.OVERLAPS`.
        uncovered: one of :data:`UNCOVERED`.
        most: proposals that are kept of an image, those of the best scores.
        dense: further arguments of the :class:`Segmentor` of the dense segmentation.

    Attributes:
        dense: the dense segmentation.
        short_side: None: regions are made on the image as it comes in, and only the dense segmentation resizes it.
    """

    __signature__: ClassVar[inspect.Signature]
    short_side: int | None = None

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        embedder: Any,
        mask_maker: Any = None,
        overlap: str = "mean",
        uncovered: str = "dense",
        most: int = 100,
        **dense: Any,
    ) -> None:
        for name, value, known in (("overlap", overlap, OVERLAPS), ("uncovered", uncovered, UNCOVERED)):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        if most < 1:
            raise UsageError(f"most must be at least 1; got {most}")
        super().__init__()
        self.dense = Segmentor(build(ENCODERS, encoder), **dense)
        if isinstance(embedder, Mapping):
            embedder = {**embedder, "encoder": self.dense.encoder}
        self.embedder = build(REGION_EMBEDDERS, embedder)
        self.mask_maker = None if mask_maker is None else build(MASK_MAKERS, mask_maker)
        self.overlap, self.uncovered, self.most = overlap, uncovered, most

    @property
    def encoder(self) -> Encoder:
        """The encoder of the dense segmentation."""
        return self.dense.encoder

    @property
    def refiners(self) -> nn.ModuleList:
        """The refiners of the dense segmentation."""
        return self.dense.refiners

    @property
    def templates(self) -> str:
        """Name of the text templates."""
        return self.dense.templates

    @property
    def long_side(self) -> int:
        """Largest side in pixels that the dense segmentation resizes to."""
        return self.dense.long_side

    @property
    def background(self) -> Background:
        """The background mode where :meth:`embed` is given none."""
        return self.dense.background

    @property
    def temperature(self) -> float:
        """Factor of the cosines before the softmax, for regions and for patches."""
        return self.dense.temperature

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.dense.device

    @property
    def pipeline(self) -> RegionPipeline:
        """The steps from images to region vectors, on the device of the weights."""
        maker = None if self.mask_maker is None else self.mask_maker.to(self.device)
        return RegionPipeline(self.embedder, maker, self.most)

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a label map, for reports: JSON values only."""
        return {
            **self.dense.protocol,
            "regions": "given" if self.mask_maker is None else self.mask_maker.name,
            "most_regions": self.most,
            "embedder": _said(self.embedder.protocol, self.encoder.model_id),
            "overlap": self.overlap,
            "uncovered": self.uncovered,
        }

    @property
    def encodes_for_texts(self) -> bool:
        """True where the dense segmentation must see the classes while it encodes an image."""
        return self.dense.encodes_for_texts

    def encode(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], texts: TextEmbeddings | None = None
    ) -> list[RegionEncodedImage]:
        """Propose and embed the regions of RGB images, each any size.

        Args:
            images: each any size.
            texts: the classes that they are encoded for, where :attr:`encodes_for_texts` says so.

        Raises:
            UsageError: where there is no mask maker.
        """
        return self.encode_regions(images, [self.pipeline.propose(image) for image in images], texts)

    @property
    def view(self) -> dict[str, Any]:
        """Everything that decides a summary; see :attr:`Segmentor.view`."""
        return self.dense.view

    def summarise(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n c"]:
        """What images look like in short; see :meth:`Segmentor.summarise`."""
        return self.dense.summarise(images)

    def encode_resized(
        self,
        images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]],
        sizes: Sequence[Size],
        texts: TextEmbeddings | None = None,
    ) -> list[RegionEncodedImage]:
        """Propose and embed the regions of images.

        Args:
            images: RGB, bytes or floats in [0, 1], each any size.
            sizes: (height, width) that the label map of each image shall have.
            texts: the classes that they are encoded for, where :attr:`encodes_for_texts` says so.

        Raises:
            UsageError: where there is no mask maker.
        """
        encoded = self.encode([to_bytes(image) for image in images], texts)
        return [replace(one, size=size, image=None) for one, size in zip(encoded, sizes, strict=True)]

    @torch.inference_mode()
    def encode_regions(
        self,
        images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        regions: Sequence[Regions],
        texts: TextEmbeddings | None = None,
    ) -> list[RegionEncodedImage]:
        """Embed given regions of images.

        Args:
            images: RGB, each any size.
            regions: of each image; those without masks get masks as :meth:`with_masks` makes them.
            texts: the classes that they are encoded for, where :attr:`encodes_for_texts` says so.
        """
        prepared = [self.with_masks(*pair) for pair in zip(images, regions, strict=True)]
        dense, embeddings = self.dense.encode(images, texts), self.embed_regions(images, prepared)
        return [
            RegionEncodedImage(**vars(one), regions=found, embeddings=vectors)
            for one, found, vectors in zip(dense, prepared, embeddings, strict=True)
        ]

    def with_masks(self, image: UInt8[np.ndarray, "_ _ 3"], regions: Regions) -> Regions:
        """The regions with masks: their own, those that the mask maker finds in the boxes, or the boxes filled."""
        found = self.pipeline.with_masks(image, regions)
        return found.with_filled_boxes() if found.masks is None else found

    @property
    def reads_masks(self) -> bool:
        """True where the vector of a region depends on its mask."""
        return self.embedder.reads_masks

    def embed_regions(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEmbeddings]:
        """One vector a region, of none or more regions of each image; see :meth:`RegionPipeline.embed`."""
        return self.pipeline.embed(images, regions)

    @torch.inference_mode()
    def embed(self, vocabulary: Vocabulary, background: Any = None, partly: bool = False) -> TextEmbeddings:
        """As :meth:`Segmentor.embed`, in the space of the regions."""
        texts = self.dense.embed_with(self.embedder.encoder, vocabulary, background, partly)
        if texts.model_id == self.encoder.model_id or self.uncovered != "dense":
            return texts
        own = {field.name: getattr(texts, field.name) for field in fields(texts)}
        return RegionTextEmbeddings(**own, dense=self.dense.embed(vocabulary, background, partly))

    def understood(self, vocabulary: Vocabulary, background: Any = None) -> Understood | None:
        """As :meth:`Segmentor.understood`."""
        return self.dense.understood(vocabulary, background)

    @torch.inference_mode()
    def label(
        self, encoded: EncodedImage, classes: TextEmbeddings | Classifier
    ) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The most probable class of every pixel of the image, and its probability."""
        sets, probabilities, empty = self._paint(encoded, classes)
        best, labels = (value[sets] for value in probabilities.max(1))
        if empty is not None:
            dense_labels, dense_best = self.dense.label(encoded, _dense(classes))
            bare = sets == empty
            labels, best = torch.where(bare, dense_labels, labels), torch.where(bare, dense_best, best)
        threshold: float | None = getattr(classes, "threshold", None)
        if threshold is not None and classes.vocabulary.background is not None:
            labels[best < threshold] = classes.vocabulary.background
        return labels, best

    @torch.inference_mode()
    def scores(self, encoded: EncodedImage, classes: TextEmbeddings | Classifier) -> Float32[Tensor, "k H W"]:
        """Probability of every class at every pixel of the image; large, 4 bytes × classes × pixels."""
        sets, probabilities, empty = self._paint(encoded, classes)
        painted = probabilities.T[:, sets]
        if empty is None:
            return painted
        return torch.where(sets == empty, self.dense.scores(encoded, _dense(classes)), painted)

    def _paint(
        self, encoded: EncodedImage, classes: TextEmbeddings | Classifier
    ) -> tuple[Int64[Tensor, "H W"], Float32[Tensor, "s k"], int | None]:
        """The set of regions that covers each pixel, each set's probabilities, and the set that the dense map fills."""
        if not isinstance(encoded, RegionEncodedImage) or encoded.regions is None or encoded.embeddings is None:
            raise UsageError("the image was encoded without regions; encode it with this segmentor")
        masks = encoded.regions.masks
        if masks is None:
            raise UsageError("the regions have no masks, so nothing can be painted; give regions with masks")
        classifier: Classifier = (
            self.dense.classifier.fit(classes, temperature=self.temperature)
            if isinstance(classes, TextEmbeddings)
            else classes
        )
        logits = region_logits(encoded.embeddings, classifier)
        sets, members = covering_sets(masks.to(logits.device))
        if self.overlap == "sum":
            silent = logits.isneginf().any(0)
            summed = members.to(logits) @ logits.masked_fill(silent, 0.0)
            painted = self._probabilities(summed.masked_fill(silent, -torch.inf), classifier)
        else:
            each = self._probabilities(logits, classifier)
            painted = coverage_of_regions(members, encoded.regions.areas, each, self.overlap) @ each
        bare = (~members.any(1)).nonzero().flatten().tolist()
        empty = bare[0] if bare else None
        if empty is not None and self.uncovered == "background":
            painted[empty, self._background(classes)] = 1.0
            empty = None
        elif empty is not None and self.uncovered == "nearest" and len(members) > 1:
            sets, empty = spread_sets(sets, empty), None
        elif empty is not None and self.uncovered == "even":
            painted[empty] = self._probabilities(logits.new_zeros(1, logits.shape[1]), classifier)[0]
            empty = None
        return resize_sets(sets, encoded.size), painted, empty

    def _probabilities(self, logits: Float[Tensor, "n q"], classifier: Classifier) -> Float32[Tensor, "n k"]:
        """Probabilities of the classes; where the dense segmentation averages logits, made as it does."""
        if not isinstance(classifier, TextClassifier):
            return logits.softmax(dim=1)
        return classifier.probabilities(logits, self.dense.average == "probabilities" or self.dense.scoring.normalise)

    def _background(self, classes: TextEmbeddings | Classifier) -> int:
        if classes.vocabulary.background is None:
            raise UsageError(
                f"uncovered=background needs a background class, which {classes.vocabulary.name} does not have; "
                "give a background mode, or take uncovered=dense"
            )
        return classes.vocabulary.background


def _dense(classes: TextEmbeddings | Classifier) -> TextEmbeddings | Classifier:
    """The classes that dense features are compared with."""
    return classes.dense if isinstance(classes, RegionTextEmbeddings) and classes.dense is not None else classes


def _said(protocol: Mapping[str, Any], encoder: str) -> list[str]:
    """The settings that decide the vectors of an embedder; its encoder only where it is not the segmentor's own."""
    said = {name: value for name, value in protocol.items() if name != "type" and (name, value) != ("encoder", encoder)}
    return [str(protocol["type"]), *(f"{name}={value}" for name, value in said.items())]


def _signature() -> inspect.Signature:
    """The arguments by name, with those that are handed on to the dense segmentation."""
    own = [one for one in inspect.signature(RegionSegmentor).parameters.values() if one.kind is not one.VAR_KEYWORD]
    names = {one.name for one in own}
    others = [one for one in inspect.signature(Segmentor).parameters.values() if one.name not in names]
    return inspect.Signature([*own, *(one.replace(kind=one.KEYWORD_ONLY) for one in others)])


RegionSegmentor.__signature__ = _signature()
