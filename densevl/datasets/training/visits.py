"""Data sets that are visited again and again: what is drawn depends on the seed, the visit and the index alone.

Not on the process that loads an image nor on what was loaded before: a resumed training sees what an uninterrupted one
would have seen, with any number of workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS
from torch import Tensor
from torch.utils.data import Dataset

from densevl.core.errors import ImageError, UsageError
from densevl.core.masks import Rle, decode_masks
from densevl.core.vocabulary import templates as named_templates
from densevl.datasets.region_sample import region_sample
from densevl.datasets.training.left_out import LeftOut

__all__ = ["Visit", "VisitSampler", "VisitedRegions", "check_side", "in_template", "whole"]

IN_A_ROW = 100
"""So many unusable images one after the other are no accident."""


@dataclass(frozen=True)
class Visit:
    """An image and its texts at one visit.

    Attributes:
        boxes: xyxy pixels of the image, half-open.
        texts: one a box.
        caption: of the whole image, where there is one.
        masks: as run-length codes of the image's size, where all its regions have one.
    """

    image: UInt8[np.ndarray, "H W 3"]
    boxes: Float[Tensor, "r 4"]
    texts: tuple[str, ...]
    caption: str | None = None
    masks: tuple[Rle, ...] | None = None


class VisitedRegions(Dataset):
    """Images in a list, with texts of their regions.

    An image that cannot be used is counted and logged, and the next in the list takes its place, so that the training
    goes on.

    Args:
        source: what is read, for messages.
        side: of the padded images in pixels; that of the encoder.
        seed: of what is drawn.
        failures: JSON lines of the images that could not be used; None for the log alone.
        masks: give masks, None for an image where they are not known.

    Attributes:
        left_out: what this process could not use.
    """

    metainfo: Mapping[str, Any] = MappingProxyType({})  # MMEngine asks for it

    def __init__(
        self, source: str, side: int, seed: int = 0, failures: str | Path | None = None, masks: bool = False
    ) -> None:
        check_side(side)
        self.side, self.seed, self.masks = side, seed, masks
        self.left_out = LeftOut(source, failures)

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, index: int, rng: np.random.Generator) -> Visit:
        """An image and its texts at a visit that draws from ``rng``.

        Raises:
            ImageError: where the image cannot be used.
        """
        raise NotImplementedError

    def name(self, index: int) -> str:
        """Name of an image in messages."""
        raise NotImplementedError

    def __getitem__(self, number: int) -> dict[str, Any]:
        """A sample as :func:`densevl.datasets.region_sample.region_sample` makes it.

        Args:
            number: index of the image, plus the length of the data set times the visit, as :class:`VisitSampler` gives
                it.

        Raises:
            UsageError: where neither this image nor those that should take its place can be used.
        """
        visit, first = divmod(number, len(self))
        for index in ((first + step) % len(self) for step in range(min(IN_A_ROW, len(self)))):
            rng = np.random.default_rng([self.seed, visit, index])
            try:
                found = self.read(index, rng)
            except ImageError as error:
                self.left_out.add(self.name(index), error)
                continue
            return self._sample(found)
        raise UsageError(
            f"{self.left_out.source}: not one of {min(IN_A_ROW, len(self))} images in a row can be used, from "
            f"{self.name(first)} on; see the messages above, and set data_root or image_folder to where the images are"
        )

    def _sample(self, visit: Visit) -> dict[str, Any]:
        masks = None if visit.masks is None else decode_masks(visit.masks, visit.image.shape[:2])
        sample = region_sample(visit.image, visit.boxes, visit.texts, visit.caption, self.side, masks)
        return {"masks": None, **sample} if self.masks else sample


@DATA_SAMPLERS.register_module()
class VisitSampler(InfiniteSampler):
    """MMEngine's endless sampler, giving each index plus the length of the data set times the visit."""

    def _infinite_indices(self) -> Iterator[int]:
        for place, index in enumerate(super()._infinite_indices()):
            yield index + place // self.size * self.size


def in_template(texts: Sequence[str], templates: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Each text in one of the templates of a name, drawn anew for each.

    Raises:
        UsageError: where the name is unknown.
    """
    forms = named_templates(templates)
    if len(forms) == 1:
        return tuple(forms[0].replace("{}", text) for text in texts)
    drawn = rng.integers(len(forms), size=len(texts))
    return tuple(forms[form].replace("{}", text) for form, text in zip(drawn, texts, strict=True))


def check_side(side: int) -> None:
    """Refuse a side that is no number of pixels.

    Raises:
        UsageError: where it is below 1.
    """
    if side < 1:
        raise UsageError(f"side must be the encoder's, in pixels, such as 224; got {side}")


def whole(codes: Sequence[Rle | None]) -> tuple[Rle, ...] | None:
    """The masks of an image, where all its regions have one."""
    found = tuple(code for code in codes if code is not None)
    return found if len(found) == len(codes) else None
