"""Grounding DINO (Liu et al., ECCV 2024, https://arxiv.org/abs/2303.05499) through transformers.

A box has a logit for each token of the text; its score is the sigmoid of the largest, as in the published code. The
text is in lower case and ends in a full stop, which the model was trained with.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from densevl.core.regions import Regions
from densevl.regions.detectors.detector import best_regions
from densevl.regions.detectors.pretrained import PretrainedDetector

__all__ = ["GroundingDino", "build_grounding_dino"]


class GroundingDino(PretrainedDetector):
    """A detector round ``GroundingDinoForObjectDetection``; arguments as of :class:`PretrainedDetector`."""

    kind, title, example = "GroundingDino", "Grounding DINO", "IDEA-Research/grounding-dino-tiny"

    @torch.no_grad()
    def detect(self, image: UInt8[np.ndarray, "H W 3"], text: str, top: int = 10) -> Regions:
        """The ``top`` likeliest boxes for a text, with scores in [0, 1], the best first."""
        caption = text.lower().strip().rstrip(".") + "."
        inputs = self.processor(text=caption, images=image, return_tensors="pt", truncation=True)
        device = next(self.model.parameters()).device
        answer = self.model(**{name: value.to(device) for name, value in inputs.items()})
        height, width = image.shape[:2]
        scores = answer.logits[0].sigmoid().max(-1).values
        return best_regions(answer.pred_boxes[0], scores, (float(width), float(height)), (height, width), top)


def build_grounding_dino(
    weights: str | Path = GroundingDino.example, revision: str | None = None, *, offline: bool = False
) -> GroundingDino:
    """A Grounding DINO detector.

    Args:
        weights: a repository on the hub, or a folder with its files.
        revision: commit of the repository.
        offline: never reach for the network.

    Raises:
        WeightsError: where the model cannot be had.
    """
    return GroundingDino.load(weights, revision, offline)
