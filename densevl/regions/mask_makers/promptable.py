"""Mask makers with an image encoder and a mask decoder: the encoder runs once, SAM prompts are batched."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.regions import Regions
from densevl.regions.mask_makers.automatic import Automatic, everything
from densevl.regions.mask_makers.clean import SMALL, least_area, without_small_pieces
from densevl.regions.mask_makers.maker import (
    Boxes,
    Picture,
    PreparedImage,
    as_prepared,
    checked_boxes,
    checked_points,
)

__all__ = ["PromptableMaskMaker"]

VALUES_AT_ONCE = 1 << 26
"""Full-size logits that are held at a time: 256 MiB."""


class PromptableMaskMaker(ABC):
    """SAM and its kind.

    Args:
        name: what results call it.
        weights_id: identity of the model and its weights.
        small: holes and islands below this fraction of the image are removed; 0 keeps all.
        automatic: how everything is searched for; a config's dictionary is taken too.
        batch: SAM prompts that the decoder takes at a time; fewer where the image is large.
    """

    def __init__(
        self,
        name: str,
        weights_id: str,
        small: int | float = SMALL,
        automatic: Automatic | Mapping[str, Any] | None = None,
        batch: int = 64,
    ):
        if not 0 <= small < 1 or batch < 1:
            raise UsageError(f"expected a fraction small in [0, 1) and a batch of at least 1; got {small} and {batch}")
        self.automatic = automatic if isinstance(automatic, Automatic) else _automatic(automatic or {})
        self.name, self.small, self.batch = name, small, batch
        settings = ",".join(f"{key}={value:g}" for key, value in asdict(self.automatic).items())
        self.model_id = f"{weights_id},small={small:g},{settings}"

    @abstractmethod
    def _encode(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[tuple[Tensor, ...], Size]:
        """Maps of the image, and its size as the encoder saw it."""

    @abstractmethod
    def _decode(
        self, prepared: PreparedImage, boxes: Tensor | None, points: Tensor | None, labels: Tensor | None, several: bool
    ) -> tuple[Float[Tensor, "n m H W"], Float[Tensor, "n m"]]:
        """Full-size logits in float32 and predicted IoU of boxes "n 4" or points "n k 2" with labels "n k"."""

    @torch.inference_mode()
    def encode(self, image: Picture) -> PreparedImage:
        """Run the image encoder, unless it has run.

        Raises:
            ImageError: where it is no image, or one too narrow for the encoder.
            UsageError: where another mask maker prepared it.
        """
        found = as_prepared(image, self.model_id)
        if found.maps:
            return found
        maps, size = self._encode(found.image)
        return replace(found, maps=maps, input_size=size)

    @torch.inference_mode()
    def from_boxes(self, image: Picture, boxes: Boxes) -> Bool[Tensor, "n H W"]:
        """One mask for each box.

        Raises:
            UsageError: where a box is outside the image, empty, reversed or not finite.
            ImageError: as :meth:`encode`.
        """
        prepared = self.encode(image)
        found = checked_boxes(boxes, prepared.size)
        masks = [logits[:, 0] > 0 for logits, _ in self._chunks(prepared, found, None, None, False)]
        return self._finished(masks, prepared.size)

    @torch.inference_mode()
    def from_points(self, image: Picture, points: Any, labels: Any | None = None) -> Bool[Tensor, "n H W"]:
        """One mask for each row of points. A single point may mean several things: the best rated of three is taken.

        Args:
            image: an image, or what :meth:`encode` returned.
            points: "n k 2", (x, y).
            labels: "n k", 1 in the thing and 0 beside it; without them all points are in it.

        Raises:
            UsageError: where the layout is another or a point lies outside the image.
            ImageError: as :meth:`encode`.
        """
        prepared = self.encode(image)
        places, inside = checked_points(points, labels, prepared.size)
        several = places.shape[1] == 1
        masks = []
        for logits, quality in self._chunks(prepared, None, places, inside, several):
            best = quality.argmax(1)
            masks.append(logits[torch.arange(len(best), device=best.device), best] > 0)
        return self._finished(masks, prepared.size)

    @torch.inference_mode()
    def everything(self, image: Picture) -> Regions:
        """All regions that the model sees, with masks and predicted IoU as scores, the best first.

        Raises:
            ImageError: as :meth:`encode`.
        """
        prepared = self.encode(image)

        def predict(grid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
            ones = torch.ones(len(grid), 1, dtype=torch.long)
            for logits, quality in self._chunks(prepared, None, grid[:, None], ones, True):
                yield logits.flatten(0, 1), quality.flatten()

        return everything(predict, prepared.size, self.automatic, self.small)

    def _chunks(
        self, prepared: PreparedImage, boxes: Tensor | None, points: Tensor | None, labels: Tensor | None, several: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        height, width = prepared.size
        step = max(1, min(self.batch, VALUES_AT_ONCE // (height * width * (3 if several else 1))))
        count = next(len(prompts) for prompts in (boxes, points) if prompts is not None)
        for start in range(0, count, step):
            few, some, marks = (
                None if prompts is None else prompts[start : start + step] for prompts in (boxes, points, labels)
            )
            yield self._decode(prepared, few, some, marks, several)

    def _finished(self, masks: list[Tensor], size: Size) -> Bool[Tensor, "n H W"]:
        least = least_area(size, self.small)
        cleaned = [without_small_pieces(some, least)[0] for some in masks]
        return torch.cat([torch.zeros(0, *size, dtype=torch.bool), *cleaned])


def _automatic(settings: Mapping[str, Any]) -> Automatic:
    try:
        return Automatic(**settings)
    except TypeError as error:
        raise UsageError(f"automatic does not take these settings: {error}") from None
