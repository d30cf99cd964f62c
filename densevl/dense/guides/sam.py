"""The image encoders of SAM, SAM 2 and the mini SAM as guides.

Sources: Kirillov et al., Segment Anything, ICCV 2023, https://arxiv.org/abs/2304.02643; Ravi et al., SAM 2, ICLR 2025,
https://arxiv.org/abs/2408.00714. A patch is described by the map that the mask decoder reads. SAM's guide gives
queries, keys and values of the last block beside it, which attends from every patch to every other (Trident); SAM 2
has no such block.

Convention: SAM sees the image with its longer side at its own (1024 pixels) and the shorter side at the nearest
multiple of its patch, padded as always; the padding is cut off the maps. SAM 2 sees it squashed to its square. So the
grid covers the image evenly. Images go through one by one, and the last few results are kept
(:mod:`densevl.dense.guides.kept`).
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.guides.kept import KEPT
from densevl.encoders.sam.image import encode_with_attention
from densevl.encoders.sam.model import open_sam

__all__ = ["Sam2Guide", "SamGuide", "build_sam2_guide", "build_sam_guide"]

ATTENTION = ("query", "key", "value")
"""Maps beside the features: the attention of the last block is ``softmax(query keyᵀ)`` in each head."""

PARTS = ("features", *ATTENTION)
"""What may describe a patch."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the channels in SAM 2's training."""


class SamGuide(nn.Module):
    """SAM's image encoder.

    Args:
        model: of segment_anything.
        model_id: identity of architecture and weights.
        part: what describes a patch: ``"features"``, the map that the mask decoder reads, or ``"query"``, ``"key"`` or
            ``"value"`` of the last block.

    Raises:
        UsageError: where the part is another.
    """

    def __init__(self, model: Any, model_id: str, part: str = "features") -> None:
        super().__init__()
        if part not in PARTS:
            raise UsageError(f"part must be one of {', '.join(PARTS)}; got {part!r}")
        self.encoder = model.image_encoder
        self.model_id, self.part = model_id, part
        self.mean, self.std = (value.flatten().tolist() for value in (model.pixel_mean, model.pixel_std))
        self.patch_size: int = self.encoder.img_size // self.encoder.pos_embed.shape[1]
        self.eval().requires_grad_(False)

    @property
    def heads(self) -> int:
        """Heads of the last block, side by side in the maps."""
        return self.encoder.blocks[-1].attn.num_heads

    @property
    def name(self) -> str:
        """Its weights and settings."""
        return f"guide({self.model_id}, part={self.part})"

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 H W"]) -> DenseFeatures:
        """Features of images of one size, with queries, keys and values of the last block as maps.

        Args:
            images: RGB in [0, 1].
        """
        dtype = next(self.encoder.parameters()).dtype
        found = KEPT.get((self.model_id, dtype), images, lambda: self._run(images, dtype))
        height, width = images.shape[2:]
        maps = dict(zip(ATTENTION, found[1:], strict=True))
        patch = max(1, round(height / found[0].shape[2]))
        grid = maps.get(self.part, found[0])
        return DenseFeatures(grid, patch, self.model_id, maps=maps, extent=(0, 0, width, height))

    def _run(self, images: Float[Tensor, "b 3 H W"], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The features, queries, keys and values on the cells of the image."""
        side, patch = self.encoder.img_size, self.patch_size
        scale = side / max(images.shape[2:])
        rows, columns = (max(1, round(length * scale / patch)) for length in images.shape[2:])
        size = (rows * patch, columns * patch)
        resized = F.interpolate(images.float() * 255, size, mode="bilinear", align_corners=False, antialias=True)
        mean, std = (resized.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        seen = F.pad((resized - mean) / std, (0, side - size[1], 0, side - size[0])).to(dtype)
        parts = []
        for image in seen.split(1):
            features, attention = encode_with_attention(self.encoder, image)
            heads = (part.movedim(-1, 2).flatten(1, 2) for part in attention)
            parts.append([features[..., :rows, :columns], *(part[..., :rows, :columns] for part in heads)])
        return tuple(torch.cat(some).clone() for some in zip(*parts, strict=True))


class Sam2Guide(nn.Module):
    """SAM 2's image encoder.

    Args:
        model: of transformers.
        model_id: identity of the model and its weights.
    """

    def __init__(self, model: Any, model_id: str) -> None:
        super().__init__()
        self.model, self.model_id = model, model_id
        size = model.config.prompt_encoder_config.image_size
        self.side: int = size if isinstance(size, int) else size[0]
        self.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        """Its weights."""
        return f"guide({self.model_id})"

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 H W"]) -> DenseFeatures:
        """Features of images of one size.

        Args:
            images: RGB in [0, 1].
        """
        (features,) = KEPT.get((self.model_id, self.model.dtype), images, lambda: self._run(images))
        height, width = images.shape[2:]
        patch = max(1, round(height / features.shape[2]))
        return DenseFeatures(features, patch, self.model_id, extent=(0, 0, width, height))

    def _run(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Tensor]:
        squashed = F.interpolate(
            images.float(), (self.side, self.side), mode="bilinear", align_corners=False, antialias=True
        )
        mean, std = (squashed.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        seen = ((squashed - mean) / std).to(self.model.dtype)
        return (torch.cat([self.model.get_image_embeddings(image)[-1] for image in seen.split(1)]),)


def build_sam_guide(
    weights: str | Path = "sam-vit-b", arch: str | None = None, part: str = "features", *, offline: bool = False
) -> SamGuide:
    """SAM's image encoder in float32 on the CPU.

    Args:
        weights: as :func:`densevl.encoders.sam.model.open_sam` takes them, such as ``sam-vit-b`` or ``mini-sam``.
        arch: for random weights and files; None to tell by them.
        part: what describes a patch, as :class:`SamGuide` takes it.
        offline: never reach for the network.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    opened = open_sam(weights, arch, offline=offline)
    return SamGuide(opened.model, opened.model_id, part)


def build_sam2_guide(
    weights: str | Path = "facebook/sam2.1-hiera-tiny", revision: str | None = None, *, offline: bool = False
) -> Sam2Guide:
    """SAM 2's image encoder in float32 on the CPU; needs transformers, an extra.

    Args:
        weights: a repository on the hub, or a folder with ``config.json`` and ``model.safetensors``.
        revision: commit of the repository.
        offline: never reach for the network.

    Raises:
        UsageError: where transformers is missing.
        WeightsError: where the model cannot be had, or is no SAM 2.
    """
    from densevl.encoders.sam2 import open_sam2

    opened = open_sam2(weights, revision, offline=offline)
    return Sam2Guide(opened.model, opened.model_id)
