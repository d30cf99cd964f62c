"""Regions embedded by the things that GRAIN sees: each by the vector of the thing that is most like it.

Source: see :mod:`densevl.encoders.towers.grain`. Like a box is what costs least where GRAIN is trained, 5 · L1 - 2 ·
GIoU of the two boxes as fractions of the image. In training each thing is matched once; here each region by itself.
An image has five things, so that many regions of one image share a vector.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torchvision.ops import box_convert, generalized_box_iou

from densevl.core.errors import UsageError
from densevl.core.images import normalise
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.images import fit
from densevl.encoders.towers.grain import GrainTower, Seen
from densevl.regions.embedders.embedder import RegionEmbedder, on_device

__all__ = ["GrainRegions", "grain_encoder", "most_like", "things_in"]

L1, GIOU = 5, 2


def grain_encoder(encoder: Any) -> CLIPEncoder:
    """A GRAIN, built or of its config.

    Raises:
        UsageError: where it is another encoder.
    """
    built = build(ENCODERS, encoder)
    if not isinstance(getattr(built, "image", None), GrainTower):
        raise UsageError(
            f"grain needs an encoder that sees things; {getattr(built, 'model_id', type(built).__name__)!r} does not: "
            "give a file of a training of GRAIN with arch='GRAIN-ViT-B-16'; none was released"
        )
    return built


@torch.no_grad()
def things_in(encoder: CLIPEncoder, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Seen:
    """What GRAIN sees in images of any sizes, squashed to its own; embeddings are unit vectors."""
    pixels = [on_device(torch.from_numpy(image).permute(2, 0, 1)[None], encoder.device) for image in images]
    fitted = torch.cat([fit(image, encoder.image_size, "squash") for image in pixels])
    tower: Any = encoder.image
    seen: Seen = tower.see(normalise(fitted, encoder.mean, encoder.std).to(encoder.dtype))
    unit = (F.normalize(vectors.float(), dim=-1) for vectors in (seen.images, seen.things))
    return Seen(next(unit), seen.boxes.float(), next(unit))


def most_like(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "q 4"]) -> Int[Tensor, " n"]:
    """Index of the other box that costs each box least; both are (cx, cy, w, h) as fractions of the image."""
    corners, others_corners = (box_convert(some, "cxcywh", "xyxy") for some in (boxes, others))
    return (L1 * torch.cdist(boxes, others, p=1) - GIOU * generalized_box_iou(corners, others_corners)).argmin(1)


class GrainRegions(nn.Module, RegionEmbedder):
    """Embeds each region by the thing that is most like it; masks are not looked at.

    Args:
        encoder: a GRAIN; built, or a config.

    Raises:
        UsageError: where the encoder is another.
    """

    def __init__(self, encoder: CLIPEncoder | Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder: CLIPEncoder = grain_encoder(encoder)

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        return {"type": "grain", "encoder": self.encoder.model_id}

    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed the regions of an image.

        Raises:
            UsageError: where the regions are of another image.
        """
        return self.embed_batch([image], [regions])[0]

    def embed_batch(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEmbeddings]:
        """Embed regions of each of several images, in one pass for all; errors as of :meth:`embed`."""
        for image, some in zip(images, regions, strict=True):
            if some.size != image.shape[:2]:
                raise UsageError(f"the regions belong to an image of {some.size}; this one is {image.shape[:2]}")
        seen, found = things_in(self.encoder, images), []
        for boxes, things, some in zip(seen.boxes, seen.things, regions, strict=True):
            height, width = some.size
            own = box_convert(some.boxes.to(boxes) / boxes.new_tensor([width, height] * 2), "xyxy", "cxcywh")
            found.append(RegionEmbeddings(things[most_like(own, boxes)], self.encoder.model_id))
        return found
