"""Label maps painted region by region: proposals, their embeddings, the class of each, pixels.

1. A mask maker proposes the regions of an image, or the caller gives them.
2. A region embedder turns each into a vector: marked images as in FGVP (Yang et al., Fine-Grained Visual Prompting,
   NeurIPS 2023, https://arxiv.org/abs/2306.04356), or features pooled over the mask.
3. A region's probabilities are softmax(temperature · cosine) over the classes, the largest cosine over the synonyms of
   a class. Where a region is marked in several ways, the cosines are summed, as FGVP does.
4. A pixel takes what the regions that cover it say, by one of three rules; a pixel that no region covers is labelled
   by the dense segmentation of the same encoder, by the nearest region, or as background.

FGVP itself has no label maps; steps 1 and 4 are ours. A pixel's probabilities depend only on the *set* of regions that
cover it, and an image has few different sets, so that no ``k × H × W`` tensor is needed for labels.

Convention: regions are made and embedded on the image as it comes in, and masks have its size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64, UInt8
from torch import Tensor

from densevl.classifiers.text import region_probabilities
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size, resized_size
from densevl.core.images import resize_image, to_tensor
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary
from densevl.encoders import ENCODERS
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.embedders.embedder import embed_batch
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.tasks.segmentation.painting import OVERLAPS, coverage_of_regions, covering_sets, resize_sets, spread_sets
from densevl.tasks.segmentation.segmentor import EncodedImage, Segmentor

__all__ = ["UNCOVERED", "RegionEncodedImage", "RegionSegmentor", "RegionTextEmbeddings"]

UNCOVERED = ("dense", "nearest", "background")
"""Where no region lies: the dense segmentation, the nearest covered pixel, or the background class."""


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
        dense: the same by the encoder, for the dense segmentation; None where that is not asked.
    """

    dense: TextEmbeddings | None = None


class RegionSegmentor(Segmentor):
    """Label maps from class names, by way of regions.

    Args:
        encoder: a built encoder or its config, for the dense segmentation.
        embedder: a built region embedder, or its config, to which the encoder is handed. Its own encoder embeds the
            texts that regions are compared with.
        mask_maker: what proposes regions: a built mask maker, its config or its name; None where regions are always
            given to :meth:`encode_regions`.
        overlap: one of :data:`densevl.tasks.segmentation.painting.OVERLAPS`.
        uncovered: one of :data:`UNCOVERED`.
        most: proposals that are kept of an image, those of the best scores.
        short_side: as for :class:`Segmentor`, of the dense segmentation alone.
        dense: further arguments of :class:`Segmentor`.
    """

    def __init__(
        self,
        encoder: Any,
        embedder: Any,
        mask_maker: Any = None,
        overlap: str = "mean",
        uncovered: str = "dense",
        most: int = 100,
        short_side: int | None = 448,
        **dense: Any,
    ) -> None:
        for name, value, known in (("overlap", overlap, OVERLAPS), ("uncovered", uncovered, UNCOVERED)):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        if most < 1:
            raise UsageError(f"most must be at least 1; got {most}")
        # Pipelines resize to `short_side`: None, so that the regions are made on the whole picture.
        super().__init__(build(ENCODERS, encoder), short_side=None, **dense)
        self.dense_short_side = short_side
        if isinstance(embedder, Mapping):
            embedder = {**embedder, "encoder": self.encoder}
        self.embedder = build(REGION_EMBEDDERS, embedder)
        self.mask_maker = None if mask_maker is None else build(MASK_MAKERS, mask_maker)
        self.overlap, self.uncovered, self.most = overlap, uncovered, most

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a label map, for reports: plain values only."""
        return {
            **super().protocol,
            "short_side": self.dense_short_side,
            "regions": "given" if self.mask_maker is None else self.mask_maker.name,
            "most_regions": self.most,
            "embedder": _said(self.embedder.protocol, self.encoder.model_id),
            "overlap": self.overlap,
            "uncovered": self.uncovered,
        }

    @torch.inference_mode()
    def encode_resized(self, images: Sequence[Float[Tensor, "3 _ _"]], sizes: Sequence[Size]) -> list[EncodedImage]:
        """Propose and embed the regions of images.

        Args:
            images: RGB in [0, 1], each any size.
            sizes: (height, width) that the label map of each image shall have.

        Raises:
            UsageError: where there is no mask maker.
        """
        pictures = [_bytes(image) for image in images]
        return list(self._encode(pictures, [self.propose(picture) for picture in pictures], sizes))

    def encode_regions(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEncodedImage]:
        """Embed given regions of images.

        Args:
            images: each any size.
            regions: of each image; those without masks get masks as :meth:`with_masks` makes them.
        """
        prepared = [self.with_masks(*pair) for pair in zip(images, regions, strict=True)]
        encoded = self._encode(images, prepared, [image.shape[:2] for image in images])
        return [replace(one, image=image) for one, image in zip(encoded, images, strict=True)]

    def propose(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Regions:
        """The regions of an image that the mask maker is surest of.

        Raises:
            UsageError: where there is no mask maker.
        """
        if self.mask_maker is None:
            raise UsageError("there is no mask maker to propose regions; give one, or call encode_regions(images, …)")
        regions: Regions = self.mask_maker.to(self.device).everything(image)
        if len(regions) > self.most and regions.scores is not None:
            regions = regions[regions.scores.argsort(descending=True, stable=True)]
        return regions[: self.most]

    def with_masks(self, image: UInt8[np.ndarray, "_ _ 3"], regions: Regions) -> Regions:
        """The regions with masks: their own, those that the mask maker finds in the boxes, or the boxes filled."""
        if regions.masks is not None:
            return regions
        if self.mask_maker is not None:
            return regions.with_masks(self.mask_maker.to(self.device).from_boxes(image, regions.boxes))
        masks = torch.zeros(len(regions), *regions.size, dtype=torch.bool)
        for mask, (left, top, right, bottom) in zip(masks, regions.boxes.round().long().tolist(), strict=True):
            mask[top:bottom, left:right] = True
        return regions.with_masks(masks)

    @property
    def reads_masks(self) -> bool:
        """Whether the vector of a region depends on its mask."""
        return self.embedder.needs_masks or getattr(self.embedder, "use_masks", False)

    @torch.inference_mode()
    def embed_regions(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEmbeddings]:
        """One vector a region, of none or more regions of each image; in one pass where the embedder can."""
        some = [pair for pair in zip(images, regions, strict=True) if len(pair[1])]
        found = iter(embed_batch(self.embedder, *zip(*some, strict=True)) if some else ())
        encoder = self.embedder.encoder
        none = RegionEmbeddings(torch.zeros(0, encoder.dim, device=self.device), encoder.model_id)
        return [next(found) if len(one) else none for one in regions]

    @torch.inference_mode()
    def embed(self, vocabulary: Vocabulary, background: Any = None) -> TextEmbeddings:
        """As :meth:`Segmentor.embed`, in the space of the regions."""
        texts = self.embed_with(self.embedder.encoder, vocabulary, background)
        if texts.model_id == self.encoder.model_id or self.uncovered != "dense":
            return texts
        own = {field.name: getattr(texts, field.name) for field in fields(texts)}
        return RegionTextEmbeddings(**own, dense=super().embed(vocabulary, background))

    @torch.inference_mode()
    def _encode(
        self, images: Sequence[np.ndarray], regions: Sequence[Regions], sizes: Sequence[Size]
    ) -> list[RegionEncodedImage]:
        dense = super().encode_resized([self._dense_input(image) for image in images], sizes)
        embeddings = self.embed_regions(images, regions)
        return [
            RegionEncodedImage(one.features, one.plan, one.size, None, found, vectors)
            for one, found, vectors in zip(dense, regions, embeddings, strict=True)
        ]

    def _dense_input(self, image: np.ndarray) -> Tensor:
        size = image.shape[:2]
        if self.dense_short_side is not None:
            size = resized_size(size, self.dense_short_side, self.long_side)
        return to_tensor(resize_image(image, size))

    @torch.inference_mode()
    def label(self, encoded: EncodedImage, texts: TextEmbeddings) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The most probable class of every pixel of the image, and its probability."""
        sets, probabilities, empty = self._paint(encoded, texts)
        best, labels = (value[sets] for value in probabilities.max(1))
        if empty is not None:
            dense_labels, dense_best = super().label(encoded, _dense(texts))
            bare = sets == empty
            labels, best = torch.where(bare, dense_labels, labels), torch.where(bare, dense_best, best)
        if texts.threshold is not None and texts.vocabulary.background is not None:
            labels[best < texts.threshold] = texts.vocabulary.background
        return labels, best

    @torch.inference_mode()
    def scores(self, encoded: EncodedImage, texts: TextEmbeddings) -> Float32[Tensor, "k H W"]:
        """Probability of every class at every pixel of the image; large, 4 bytes × classes × pixels."""
        sets, probabilities, empty = self._paint(encoded, texts)
        painted = probabilities.T[:, sets]
        return painted if empty is None else torch.where(sets == empty, super().scores(encoded, _dense(texts)), painted)

    def _paint(
        self, encoded: EncodedImage, texts: TextEmbeddings
    ) -> tuple[Int64[Tensor, "H W"], Float32[Tensor, "s k"], int | None]:
        """The set of regions that covers each pixel, each set's probabilities, and the set that the dense map fills."""
        if not isinstance(encoded, RegionEncodedImage) or encoded.regions is None or encoded.embeddings is None:
            raise UsageError("the image was encoded without regions; encode it with this segmentor")
        masks = encoded.regions.masks
        if masks is None:
            raise UsageError("the regions have no masks, so nothing can be painted; give regions with masks")
        each = region_probabilities(encoded.embeddings, texts, self.temperature)
        sets, members = covering_sets(masks.to(each.device))
        painted = coverage_of_regions(members, encoded.regions.areas, each, self.overlap) @ each
        bare = (~members.any(1)).nonzero().flatten().tolist()
        empty = bare[0] if bare else None
        if empty is not None and self.uncovered == "background":
            painted[empty, self._background(texts)] = 1.0
            empty = None
        elif empty is not None and self.uncovered == "nearest" and len(members) > 1:
            sets, empty = spread_sets(sets, empty), None
        return resize_sets(sets, encoded.size), painted, empty

    def _background(self, texts: TextEmbeddings) -> int:
        if texts.vocabulary.background is None:
            raise UsageError(
                f"uncovered=background needs a background class, which {texts.vocabulary.name} does not have; "
                "give a background mode, or take uncovered=dense"
            )
        return texts.vocabulary.background


def _dense(texts: TextEmbeddings) -> TextEmbeddings:
    """The texts that dense features are compared with."""
    return texts.dense if isinstance(texts, RegionTextEmbeddings) and texts.dense is not None else texts


def _said(protocol: Mapping[str, Any], encoder: str) -> list[str]:
    """What decides the vectors of an embedder; its encoder only where it is not the segmentor's own."""
    said = {name: value for name, value in protocol.items() if name != "type" and (name, value) != ("encoder", encoder)}
    return [str(protocol["type"]), *(f"{name}={value}" for name, value in said.items())]


def _bytes(image: Float[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture that a pipeline made a tensor of."""
    return np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).cpu().numpy())
