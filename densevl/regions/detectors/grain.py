"""GRAIN as a detector: the five things that it sees in an image, with their cosines to texts.

Source: see :mod:`densevl.encoders.towers.grain`. GRAIN tells the descriptions of a batch apart by these cosines; a
score here is the cosine itself, 0 where it is negative, and no probability. No weights were released.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn
from torchvision.ops import box_convert

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.encoders.clip import CLIPEncoder
from densevl.regions.detectors.detector import Found, Picture, best_regions, named_regions
from densevl.regions.embedders.grain import grain_encoder, things_in

__all__ = ["GrainDetector", "build_grain"]


class GrainDetector(nn.Module):
    """Finds the things that GRAIN sees.

    Args:
        encoder: a GRAIN; built, or a config.
        name: what results call it.

    Raises:
        UsageError: where the encoder is another.
    """

    def __init__(self, encoder: CLIPEncoder | Mapping[str, Any], name: str = "GRAIN") -> None:
        super().__init__()
        self.encoder: CLIPEncoder = grain_encoder(encoder)
        self.name = name

    @torch.no_grad()
    def detect(self, image: UInt8[np.ndarray, "H W 3"], text: str, top: int = 10) -> Regions:
        """The things of an image with their cosines to a text, the best first; at most five."""
        seen, size = things_in(self.encoder, [image]), (image.shape[0], image.shape[1])
        scores = (seen.things[0] @ self.encoder.embed_texts([text])[0]).clamp(min=0)
        return best_regions(seen.boxes[0], scores, (float(size[1]), float(size[0])), size, top)

    @torch.no_grad()
    def find(
        self, images: Sequence[Picture], texts: Sequence[Sequence[str]], threshold: int | float = 0.1
    ) -> list[Found]:
        """The things in each image, each with the text that suits it best.

        Args:
            images: uint8 RGB, of any sizes; they pass through the model together.
            texts: those of each image; an image may have none.
            threshold: least cosine, itself left out.
        """
        seen, found = things_in(self.encoder, images), []
        for image, names, boxes, things in zip(images, texts, seen.boxes, seen.things, strict=True):
            size = image.shape[0], image.shape[1]
            corners = box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([size[1], size[0]] * 2)
            if not names:
                corners, things = corners[:0], things[:0]
            words = self.encoder.embed_texts(list(names) or ["nothing"])
            scores, which = (things @ words.T).max(1)
            found.append(named_regions(corners, scores.clamp(min=0), which, size, threshold))
        return found


def build_grain(
    weights: str | Path | None = None,
    arch: str | Mapping[str, Any] = "GRAIN-ViT-B-16",
    *,
    encoder: CLIPEncoder | Mapping[str, Any] | None = None,
    offline: bool = False,
) -> GrainDetector:
    """A GRAIN detector.

    Args:
        weights: a file of a training of GRAIN.
        arch: its architecture.
        encoder: a GRAIN in the place of the two: built, or a config; a region embedder can share it.
        offline: there is nothing to fetch; taken because every detector takes it.

    Raises:
        UsageError: where there are no weights.
        WeightsError: where the file is missing, damaged or of another model.
    """
    if encoder is None and weights is None:
        raise UsageError("no weights of GRAIN were released; give a file of a training of yours, as weights=FILE")
    return GrainDetector({"type": "clip", "weights": str(weights), "arch": arch} if encoder is None else encoder)
