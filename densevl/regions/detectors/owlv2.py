"""OWLv2 (Minderer et al., Scaling Open-Vocabulary Object Detection, NeurIPS 2023, https://arxiv.org/abs/2306.09683)
through transformers.

The model sees the image padded at the right and the bottom to a square, to whose side its boxes refer. Texts longer
than its 16 tokens are cut: a detector only proposes, and the whole expression ranks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.ops import box_convert

from densevl.core.regions import Regions
from densevl.regions.detectors.detector import Found, Picture, best_regions, named_regions
from densevl.regions.detectors.pretrained import PretrainedDetector

__all__ = ["Owlv2", "build_owlv2"]


class Owlv2(PretrainedDetector):
    """A detector round an OWLv2 model.

    Args:
        model: ``Owlv2ForObjectDetection``.
        processor: its ``Owlv2Processor``.
        name: its name in results; None for that of its kind.
        size: side of the square that the model sees; None for the side that it was trained with. At another one its
            position embeddings are interpolated: CLOC labels at 448 pixels.
    """

    kind, title, example = "Owlv2", "OWLv2", "google/owlv2-base-patch16-ensemble"

    def __init__(self, model: Any, processor: Any, name: str | None = None, size: int | None = None) -> None:
        super().__init__(model, processor, name)
        self.size = size

    @torch.no_grad()
    def detect(self, image: UInt8[np.ndarray, "H W 3"], text: str, top: int = 10) -> Regions:
        """The ``top`` likeliest boxes for a text, with scores in [0, 1], the best first."""
        boxes, logits = self._predict([image], [[text]])
        height, width = image.shape[:2]
        side = float(max(height, width))
        return best_regions(boxes[0], logits[0, :, 0].sigmoid(), (side, side), (height, width), top)

    @torch.no_grad()
    def find(
        self, images: Sequence[Picture], texts: Sequence[Sequence[str]], threshold: int | float = 0.1
    ) -> list[Found]:
        """The boxes in each image for several texts: every box with the text that suits it best.

        Args:
            images: uint8 RGB, of any sizes; they pass through the model together.
            texts: those of each image; an image may have none.
            threshold: least score, itself left out.
        """
        shown = [i for i, names in enumerate(texts) if names]
        boxes, logits = torch.zeros(0, 0, 4), torch.zeros(0, 0, 0)
        if shown:
            boxes, logits = self._predict([images[i] for i in shown], [texts[i] for i in shown])
        found = []
        for i, (image, names) in enumerate(zip(images, texts, strict=True)):
            at = shown.index(i) if names else None
            # The processor fills up shorter lists of texts with texts of its own.
            best = logits.new_zeros(0, 1) if at is None else logits[at, :, : len(names)]
            scores, which = best.sigmoid().max(-1)
            corners = box_convert((boxes.new_zeros(0, 4) if at is None else boxes[at]).float(), "cxcywh", "xyxy")
            size = image.shape[0], image.shape[1]
            found.append(named_regions(corners * max(size), scores, which, size, threshold))
        return found

    def _predict(
        self, images: Sequence[Picture], texts: Sequence[Sequence[str]]
    ) -> tuple[Float[Tensor, "b n 4"], Float[Tensor, "b n q"]]:
        """Boxes, as fractions of the longer side, and logits of every box and text."""
        side = {} if self.size is None else {"size": {"height": self.size, "width": self.size}}
        inputs = self.processor(
            text=[list(names) for names in texts], images=list(images), return_tensors="pt", truncation=True, **side
        )
        weight = next(self.model.parameters())
        answer = self.model(
            input_ids=inputs["input_ids"].to(weight.device),
            attention_mask=inputs["attention_mask"].to(weight.device),
            pixel_values=inputs["pixel_values"].to(weight),
            interpolate_pos_encoding=self.size is not None,
        )
        return answer.pred_boxes, answer.logits


def build_owlv2(
    weights: str | Path = Owlv2.example,
    revision: str | None = None,
    *,
    size: int | None = None,
    offline: bool = False,
) -> Owlv2:
    """An OWLv2 detector.

    Args:
        weights: a repository on the hub, or a folder with its files.
        revision: commit of the repository.
        size: see :class:`Owlv2`.
        offline: never reach for the network.

    Raises:
        WeightsError: where the model cannot be had.
    """
    return Owlv2.load(weights, revision, offline, size=size)
