"""From an image to region vectors: propose regions, make their masks, embed them."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from densevl.core.errors import UsageError
from densevl.core.lazy import Lazy
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.regions.embedders.embedder import RegionEmbedder, device_of
from densevl.regions.mask_makers.maker import MaskMaker

__all__ = ["RegionPipeline"]

MASK_BYTES = 256 * 2**20
"""Bytes of the masks of an image that are made together, a byte a pixel; more regions are embedded in groups."""

ADVICE = 'or a mask maker such as mask_maker="sam-vit-b"'


class RegionPipeline:
    """A mask maker and a region embedder, one after the other.

    Args:
        embedder: turns regions into vectors.
        mask_maker: proposes regions and makes masks of boxes; None for none.
        most: proposals that are kept of an image, those of the best scores; None for all.
    """

    def __init__(
        self,
        embedder: RegionEmbedder | Lazy[RegionEmbedder],
        mask_maker: MaskMaker | Lazy[MaskMaker | None] | None = None,
        most: int | None = None,
    ) -> None:
        self._embedder: Lazy[RegionEmbedder] = embedder if isinstance(embedder, Lazy) else Lazy.of(embedder)
        self._mask_maker: Lazy[MaskMaker | None] = mask_maker if isinstance(mask_maker, Lazy) else Lazy.of(mask_maker)
        self.most = most

    @property
    def embedder(self) -> RegionEmbedder:
        """The region embedder."""
        return self._embedder.value

    @property
    def mask_maker(self) -> MaskMaker | None:
        """The mask maker; None for none."""
        return self._mask_maker.value

    def propose(self, image: UInt8[np.ndarray, "H W 3"]) -> Regions:
        """The regions that the mask maker sees in an image, with masks, the best first.

        Raises:
            UsageError: where there is no mask maker.
        """
        if self.mask_maker is None:
            raise UsageError(
                f"there is no mask maker, so this model proposes no regions of its own; give boxes, masks, {ADVICE}"
            )
        regions = self.mask_maker.everything(image)
        if self.most is None or len(regions) <= self.most:
            return regions
        if regions.scores is not None:
            regions = regions[regions.scores.argsort(descending=True, stable=True)]
        return regions[: self.most]

    def with_masks(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> Regions:
        """The regions with their own masks, or with those that the mask maker finds in their boxes.

        Without a mask maker they are returned as they are.
        """
        if regions.masks is not None or self.mask_maker is None:
            return regions
        return regions.with_masks(self.mask_maker.from_boxes(image, regions.boxes))

    def prepare(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> Regions:
        """The regions with masks where the embedder cannot do without.

        Raises:
            UsageError: where it cannot, and nothing makes the masks.
        """
        if not self.embedder.needs_masks:
            return regions
        prepared = self.with_masks(image, regions)
        if prepared.masks is None:
            raise UsageError(
                f"this model embeds regions by their masks and has nothing that makes them of boxes; give masks, "
                f"{ADVICE}"
            )
        return prepared

    @torch.inference_mode()
    def embed(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]) -> list[RegionEmbeddings]:
        """One vector a region, of none or more regions of each image, together where the embedder can.

        Args:
            images: RGB, of any sizes.
            regions: of each image; masks are made where the embedder needs them.

        Raises:
            UsageError: where regions are of another image, or need masks that nothing can make.
        """
        pairs = list(zip(images, regions, strict=True))
        few = [(image, found) for image, found in pairs if 0 < len(found) <= _most(found)]
        prepared = [self.prepare(*pair) for pair in few]
        vectors = iter(self.embedder.embed_batch([image for image, _ in few], prepared) if few else ())
        return [
            self._many(image, found) if len(found) > _most(found) else next(vectors) if len(found) else self._nothing()
            for image, found in pairs
        ]

    def _many(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """The vectors of regions whose masks are too many to be held together."""
        most = _most(regions)
        groups = [regions[start : start + most] for start in range(0, len(regions), most)]
        return RegionEmbeddings.cat([self.embedder.embed(image, self.prepare(image, group)) for group in groups])

    def _nothing(self) -> RegionEmbeddings:
        encoder = self.embedder.encoder
        return RegionEmbeddings(torch.zeros(0, encoder.dim, device=device_of(encoder)), encoder.model_id)


def _most(regions: Regions) -> int:
    """The number of regions whose masks are made together."""
    height, width = regions.size
    return max(1, MASK_BYTES // (height * width)) if regions.masks is None else len(regions)
