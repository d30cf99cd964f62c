"""OWLv2 (Minderer et al., Scaling Open-Vocabulary Object Detection, NeurIPS 2023, https://arxiv.org/abs/2306.09683)
through transformers.

The model sees the image padded at the right and the bottom to a square, to whose side its boxes refer. Texts longer
than its 16 tokens are cut: a detector only proposes, and the whole expression ranks.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from densevl.detectors.detector import best_regions
from densevl.detectors.pretrained import load_pretrained
from densevl.regions import Regions

__all__ = ["Owlv2", "build_owlv2"]


class Owlv2(nn.Module):
    """A detector round an OWLv2 model.

    Args:
        model: ``Owlv2ForObjectDetection``.
        processor: its ``Owlv2Processor``.
        name: what results call it.
    """

    def __init__(self, model: Any, processor: Any, name: str = "OWLv2") -> None:
        super().__init__()
        self.model, self.processor, self.name = model.eval(), processor, name

    @torch.no_grad()
    def detect(self, image: UInt8[np.ndarray, "H W 3"], text: str, top: int = 10) -> Regions:
        """The ``top`` likeliest boxes for a text, with scores in [0, 1], the best first."""
        inputs = self.processor(text=[[text]], images=image, return_tensors="pt", truncation=True)
        weight = next(self.model.parameters())
        answer = self.model(
            input_ids=inputs["input_ids"].to(weight.device),
            attention_mask=inputs["attention_mask"].to(weight.device),
            pixel_values=inputs["pixel_values"].to(weight),
        )
        height, width = image.shape[:2]
        side = float(max(height, width))
        return best_regions(answer.pred_boxes[0], answer.logits[0, :, 0].sigmoid(), (side, side), (height, width), top)


def build_owlv2(
    weights: str | Path = "google/owlv2-base-patch16-ensemble", revision: str | None = None, *, offline: bool = False
) -> Owlv2:
    """An OWLv2 detector.

    Args:
        weights: a repository on the hub, or a folder with its files.
        revision: commit of the repository.
        offline: never reach for the network.

    Raises:
        WeightsError: where the model cannot be had.
    """
    model, processor = load_pretrained("Owlv2", weights, revision, offline, "google/owlv2-base-patch16-ensemble")
    return Owlv2(model, processor, f"OWLv2 ({str(weights).rstrip('/').rsplit('/', 1)[-1]})")
