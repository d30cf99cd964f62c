"""SAM 2: masks by Segment Anything 2 (Ravi et al., ICLR 2025) through transformers, an extra.

The image is squashed to the encoder's square and SAM prompts with it, as transformers' ``Sam2Processor`` does, with
whose masks ours agree. The image encoder may compute in bfloat16; SAM prompts and masks are always float32.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from densevl.core.geometry import Size
from densevl.encoders.sam2 import Sam2ImageProcessor, Sam2Model, open_sam2, sam2_digest
from densevl.regions.mask_makers.maker import PreparedImage
from densevl.regions.mask_makers.promptable import PromptableMaskMaker

__all__ = ["Sam2", "build_sam2"]


class Sam2(PromptableMaskMaker):
    """A mask maker round a SAM 2 model of transformers.

    Args:
        model: the model.
        name: what results call it.
        weights_id: identity of the model and its weights; computed from them where it is left out.
        settings: those of :class:`PromptableMaskMaker`.
    """

    def __init__(self, model: Sam2Model, name: str = "SAM 2", weights_id: str | None = None, **settings: Any):
        super().__init__(name, weights_id or f"sam2@{sam2_digest(model)[:12]}", **settings)
        self.model = model.eval().requires_grad_(False)
        self.side = _side(model)
        self.dtype = torch.float32
        self.processor = Sam2ImageProcessor(size={"height": self.side, "width": self.side})

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "Sam2":
        """Move the model to a device, and choose the arithmetic of its image encoder; weights stay float32."""
        self.model.to(device)
        if dtype is not None:
            self.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        return self

    def _encode(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[tuple[Tensor, ...], Size]:
        pixels = self.processor(images=image, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        device = self.model.device
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            maps = self.model.get_image_embeddings(pixels.to(device, torch.float32))
        return tuple(one.float() for one in maps), (self.side, self.side)

    def _decode(
        self, prepared: PreparedImage, boxes: Tensor | None, points: Tensor | None, labels: Tensor | None, several: bool
    ) -> tuple[Tensor, Tensor]:
        height, width = prepared.size
        scale = torch.tensor([self.side / width, self.side / height], device=self.model.device)
        answer = self.model(
            image_embeddings=list(prepared.maps),
            input_boxes=None if boxes is None else (boxes.to(scale) * scale.repeat(2))[None],
            input_points=None if points is None else (points.to(scale) * scale)[None],
            input_labels=None if labels is None else labels.to(scale.device)[None],
            multimask_output=several,
        )
        logits = F.interpolate(answer.pred_masks[0].float(), prepared.size, mode="bilinear", align_corners=False)
        return logits, answer.iou_scores[0].float()


def build_sam2(
    weights: str | Path = "facebook/sam2.1-hiera-tiny",
    revision: str | None = None,
    *,
    offline: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    **settings: Any,
) -> Sam2:
    """A SAM 2 mask maker.

    Args:
        weights: a repository on the hub (``facebook/sam2.1-hiera-`` with ``tiny``, ``small``, ``base-plus`` or
            ``large``), or a folder with ``config.json`` and ``model.safetensors``.
        revision: commit of the repository.
        offline: never reach for the network.
        device: where it runs.
        dtype: of the image encoder.
        settings: ``small``, ``automatic`` and ``batch`` of :class:`PromptableMaskMaker`.

    Raises:
        WeightsError: where the model cannot be had, or is no SAM 2.
    """
    opened = open_sam2(weights, revision, offline=offline)
    return Sam2(opened.model, f"SAM 2 ({opened.short})", opened.model_id, **settings).to(device, dtype)


def _side(model: Sam2Model) -> int:
    config: Any = model.config
    size = config.prompt_encoder_config.image_size
    return size if isinstance(size, int) else size[0]
