"""SAM: masks by Segment Anything (Kirillov et al., ICCV 2023) through segment_anything.

The image is scaled to the encoder's longer side and padded, and SAM prompts are scaled with it, as
segment_anything's ``SamPredictor`` does, with whose masks ours agree. The image encoder may run in bfloat16; SAM
prompts and masks are always float32, since coordinates do not survive less.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from segment_anything.modeling import Sam as SamModel
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from densevl.core.errors import ImageError
from densevl.core.geometry import Size
from densevl.encoders.sam.image import encode_image
from densevl.encoders.sam.model import MINI, open_sam
from densevl.regions.mask_makers.automatic import Automatic
from densevl.regions.mask_makers.maker import PreparedImage
from densevl.regions.mask_makers.promptable import PromptableMaskMaker

__all__ = ["Sam", "build_sam"]

MINI_AUTOMATIC = Automatic(predicted_iou=0.6, stability=0.7)
"""The mini SAM's search for everything: it rates its masks lower than SAM does (chosen on training scenes)."""


class Sam(PromptableMaskMaker):
    """A mask maker round a model of segment_anything.

    Args:
        model: in evaluation mode, as :func:`densevl.encoders.sam.model.build_sam_model` makes it.
        name: what results call it.
        weights_id: identity of the architecture and its weights.
        settings: those of :class:`PromptableMaskMaker`.
    """

    def __init__(self, model: SamModel, name: str, weights_id: str, **settings: Any):
        super().__init__(name, weights_id, **settings)
        self.model = model.eval().requires_grad_(False)
        self.resizing = ResizeLongestSide(model.image_encoder.img_size)

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "Sam":
        """Move the model to a device, and the image encoder to a dtype; the rest stays float32."""
        self.model.to(device)
        if dtype is not None:
            self.model.image_encoder.to(getattr(torch, dtype) if isinstance(dtype, str) else dtype)
        return self

    def _encode(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[tuple[Tensor, ...], Size]:
        side = self.model.image_encoder.img_size
        size = self.resizing.get_preprocess_shape(*image.shape[:2], side)
        if min(size) < 1:
            raise ImageError(
                f"an image of {image.shape[0]} x {image.shape[1]} pixels vanishes where its longer side is scaled to "
                f"{side}; cut it into tiles"
            )
        pixels = torch.from_numpy(self.resizing.apply_image(image)).permute(2, 0, 1)
        dtype = next(self.model.image_encoder.parameters()).dtype
        padded = self.model.preprocess(pixels.to(self.model.device).float())[None]
        return (encode_image(self.model.image_encoder, padded.to(dtype)).float(),), size

    def _decode(
        self, prepared: PreparedImage, boxes: Tensor | None, points: Tensor | None, labels: Tensor | None, several: bool
    ) -> tuple[Tensor, Tensor]:
        model, size = self.model, prepared.size
        clicks = None
        if boxes is not None:
            boxes = self.resizing.apply_boxes_torch(boxes, size).to(model.device)
        if points is not None and labels is not None:
            clicks = self.resizing.apply_coords_torch(points, size).to(model.device), labels.to(model.device)
        sparse, dense = model.prompt_encoder(points=clicks, boxes=boxes, masks=None)
        masks, quality = model.mask_decoder(
            image_embeddings=prepared.maps[0],
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        return model.postprocess_masks(masks, prepared.input_size, size) - model.mask_threshold, quality


def build_sam(
    weights: str | Path = MINI,
    arch: str | None = None,
    *,
    offline: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    **settings: Any,
) -> Sam:
    """A SAM mask maker.

    Args:
        weights: a name of the weights table (``sam-vit-b``, ``sam-vit-l``, ``sam-vit-h``, ``mini-sam``), a file, or
            ``random:SEED`` for weights that mean nothing but take the same time.
        arch: ``vit_b``, ``vit_l``, ``vit_h`` or ``mini-sam``; for a file it may be left out, the weights show it;
            random weights are those of ViT-B without it.
        offline: never reach for the network.
        device: where it runs.
        dtype: of the image encoder.
        settings: ``small``, ``automatic`` and ``batch`` of :class:`PromptableMaskMaker`; without ``automatic`` the mini
            SAM searches with :data:`MINI_AUTOMATIC`.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    opened = open_sam(weights, arch, offline=offline)
    if opened.arch == MINI and not opened.random:
        settings.setdefault("automatic", MINI_AUTOMATIC)
    return Sam(opened.model, opened.name, opened.model_id, **settings).to(device, dtype)
