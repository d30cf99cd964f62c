"""Images with annotations as a benchmark takes them: a sample is the image, its annotations or the reason why not."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from densevl.core.errors import ImageError
from densevl.core.images import read_image

__all__ = ["AnnotatedImages"]


class AnnotatedImages(Dataset):
    """Images that have a ``file_name``, a ``size`` as (height, width) or None, and annotations.

    Attributes:
        images: with their annotations.
        metainfo: facts for the metric, which MMEngine hands over.
        title: name of the data set in reports.
        source: folder or file of the data.
        expected: number of images of the whole benchmark; None where it is not known.
        protocol: settings that decide a figure.
        caveats: reasons why figures may not be compared with published ones.
    """

    images: Sequence[Any]
    metainfo: Mapping[str, Any] = MappingProxyType({})
    title: str
    source: str
    expected: int | None = None
    protocol: Mapping[str, Any] = MappingProxyType({})
    caveats: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The image as (3, H, W) uint8 and its annotations; the reason in ``failure`` where it cannot be used."""
        meta = {"sample_idx": index, "img_path": self.path(index), **self.annotations(index)}
        size = self.images[index].size
        try:
            image = self.picture(index)
            if size is not None and image.shape[:2] != tuple(size):
                raise ImageError(f"the image has {image.shape[:2]} pixels, the annotations say {size}")
        except ImageError as error:
            image, meta["failure"] = np.zeros((0, 0, 3), np.uint8), str(error)
        return {"inputs": torch.from_numpy(image).permute(2, 0, 1), "data_samples": BaseDataElement(metainfo=meta)}

    def annotations(self, index: int) -> dict[str, Any]:
        """Annotations of an image, by the names of a sample's fields."""
        raise NotImplementedError

    def path(self, index: int) -> str:
        """The file of an image."""
        return self.images[index].file_name

    def picture(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """An image as RGB.

        Raises:
            ImageError: where it cannot be read.
        """
        return read_image(self.path(index))
