"""SAM 2: masks by Segment Anything 2 (Ravi et al., ICLR 2025) through transformers, an extra.

The image is squashed to the encoder's square and SAM prompts with it, as transformers' ``Sam2Processor`` does, with
whose masks ours agree. The image encoder may compute in bfloat16; SAM prompts and masks are always float32.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, first_line
from densevl.core.geometry import Size
from densevl.regions.mask_makers.maker import PreparedImage
from densevl.regions.mask_makers.promptable import PromptableMaskMaker
from densevl.weights import fetch_folder, is_offline

try:
    from transformers import Sam2ImageProcessor, Sam2Model
except ImportError as error:
    raise UsageError("SAM 2 needs transformers 4.56 or later; install it: pip install 'densevl[detect]'") from error

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
        super().__init__(name, weights_id or f"sam2@{_digest(model)[:12]}", **settings)
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
    folder = fetch_folder(weights, revision, offline=offline)
    place: dict[str, Any] = {"revision": revision or "main", "local_files_only": is_offline(offline)}
    try:
        loaded: Any = Sam2Model.from_pretrained(
            folder or weights,
            **(place if folder is None else {}),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"SAM 2 cannot be loaded from {weights}: {first_line(error)}; fetch config.json and model.safetensors of a "
            "repository such as facebook/sam2.1-hiera-tiny into a folder, and name the folder; or bring those of the "
            "default here with `densevl fetch sam2`"
        ) from error
    model, notes = loaded
    absent = sorted(notes["missing_keys"]) + sorted(notes["mismatched_keys"])
    if absent:
        raise WeightsError(f"{weights} is no complete SAM 2: {len(absent)} weights are missing, such as {absent[0]}")
    short = str(weights).rstrip("/").rsplit("/", 1)[-1]
    return Sam2(model, f"SAM 2 ({short})", f"{short}@{_digest(model)[:12]}", **settings).to(device, dtype)


def _side(model: Sam2Model) -> int:
    config: Any = model.config
    size = config.prompt_encoder_config.image_size
    return size if isinstance(size, int) else size[0]


def _digest(model: Sam2Model) -> str:
    """Hash of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
