"""Training regions from referring expressions: RefCOCO, RefCOCO+ and RefCOCOg, in any format that can be imported."""

from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS

from densevl.core.errors import ImageError
from densevl.datasets.referring.datasets import ReferringDataset
from densevl.datasets.training.visits import Visit, VisitedRegions, whole

__all__ = ["ReferringRegionTexts"]


@DATASETS.register_module()
class ReferringRegionTexts(VisitedRegions):
    """Images of a split of RefCOCO with the objects that are referred to; there are no captions.

    Of several sentences of an object one is drawn at each visit.

    Args:
        dataset: ``refcoco``, ``refcoco+`` or ``refcocog``.
        data_root: folder of annotations and images.
        split: ``train``; the others are for evaluation.
        side: of the padded images in pixels; that of the encoder.
        masks: give the masks of the objects too; an image with an object that has none gives none.
        seed: of what is drawn.
        failures: JSON lines of the images that could not be used; None for the log alone.
        where: further arguments of :class:`ReferringDataset`, such as ``annotations``, ``image_folder`` or ``indices``.

    Raises:
        UsageError: where split or annotations cannot be used, or no image is there.
    """

    def __init__(
        self,
        dataset: str,
        data_root: str,
        split: str = "train",
        side: int = 224,
        masks: bool = False,
        seed: int = 0,
        failures: str | None = None,
        **where: Any,
    ) -> None:
        # The objects to choose from matter to evaluation alone, so no format need tell them: "everything".
        self._referred = ReferringDataset(dataset, data_root, split, **{"proposals": "everything", **where})
        super().__init__(self._referred.source, side, seed, failures, masks)

    def __len__(self) -> int:
        return len(self._referred)

    def name(self, index: int) -> str:
        """The file of an image as the annotations call it."""
        return self._referred.images[index].file_name

    def read(self, index: int, rng: np.random.Generator) -> Visit:
        """An image with the boxes that are referred to, and one sentence of each.

        Raises:
            ImageError: where it cannot be read, or has another size than its boxes were drawn on.
        """
        referred = self._referred.images[index]
        image = self._referred.picture(index)
        if referred.size is not None and image.shape[:2] != tuple(referred.size):
            raise ImageError(f"{referred.file_name} has {image.shape[:2]} pixels, the annotations say {referred.size}")
        boxes = torch.tensor([ref.box for ref in referred.refs], dtype=torch.float32).reshape(-1, 4)
        texts = tuple(ref.sentences[rng.integers(len(ref.sentences))] for ref in referred.refs)
        return Visit(image, boxes, texts, masks=whole([ref.mask for ref in referred.refs]) if self.masks else None)
