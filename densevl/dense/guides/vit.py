"""Self-supervised ViTs as guides: DINO, DINOv2 with registers and DINOv3 with rotary positions, through timm.

Sources: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021,
https://arxiv.org/abs/2104.14294; Oquab et al., DINOv2, TMLR 2024, https://arxiv.org/abs/2304.07193; Darcet et al.,
Vision Transformers Need Registers, ICLR 2024, https://arxiv.org/abs/2309.16588; Siméoni et al., DINOv3, 2025,
https://arxiv.org/abs/2508.10104. Patches are described by a *part* of the last block, heads side by side, the class
token and registers left out:

* ``tokens``, behind the block and the last normalisation (ProxyCLIP, Trident);
* ``query``, ``key`` or ``value`` (LPOSS and CLIP-DINOiser take values, CASS keys);
* ``query+key``, their sum (CorrCLIP).

Queries and keys are those that the block attends with: normalised and rotated to their places where the model does so.

Convention: the images have whatever size they have; where a side is no multiple of the patch it is resized to the
nearest multiple, so that the grid covers the image evenly. The tokens that enter the last block are kept for the last
few images and shared by every part of a model (:mod:`densevl.dense.guides.kept`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from densevl.core.attention import run_block, run_blocks
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.core.images import normalise
from densevl.dense.guides.kept import KEPT
from densevl.encoders.contracts import POSITIONS, ImageTower
from densevl.encoders.dino import open_vit
from densevl.encoders.towers import image_tower
from densevl.encoders.towers.timm_model import TimmModel

__all__ = ["PARTS", "ViTGuide", "build_vit_guide"]

PARTS = {"query": "q", "key": "k", "value": "v", "query+key": "qk", "tokens": ""}
"""What of the last block describes a patch, with the letters of the projections that are summed."""


class ViTGuide(nn.Module):
    """A ViT of timm that describes patches by its last block.

    Args:
        model: without a head; of the kind of DINO, DINOv2 or DINOv3.
        model_id: identity of architecture and weights.
        part: one of :data:`PARTS`.
        positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        mean: mean of each channel that the model was trained with.
        std: standard deviation of each channel that the model was trained with.

    Raises:
        UsageError: where a setting is unknown, or the model of another kind.
    """

    def __init__(
        self,
        model: Any,
        model_id: str,
        part: str = "tokens",
        positions: str = "plus",
        mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
        std: Sequence[float] = IMAGENET_DEFAULT_STD,
    ) -> None:
        super().__init__()
        for name, value, known in (("part", part, PARTS), ("positions", positions, POSITIONS)):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        self.model, self.model_id, self.part, self.positions = model, model_id, part, positions
        self.mean, self.std = tuple(mean), tuple(std)
        self.tower: ImageTower = image_tower(TimmModel(model, nn.Identity(), (0, 0)))
        self.eval().requires_grad_(False)

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.tower.patch_size

    @property
    def name(self) -> str:
        """Weights and settings."""
        return f"guide({self.model_id}, part={self.part}, positions={self.positions})"

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 H W"]) -> DenseFeatures:
        """Features of images of one size.

        Args:
            images: RGB in [0, 1].
        """
        maker = (self.model_id, self.positions, self.mean, self.std, self.tower.dtype)
        x, grid = KEPT.get(maker, images, lambda: self._run(images))
        count = grid[0] * grid[1]
        block = self.tower.blocks_on(grid, self.positions)[-1]
        if self.part == "tokens":
            described = self.model.fc_norm(self.model.norm(run_block(block, x)["out"]))
        else:
            heads = torch.stack(block.qkv(block.norm_1(x), PARTS[self.part])).sum(dim=0)
            described = heads.transpose(1, 2).flatten(2)
        height, width = images.shape[2:]
        patch = max(1, round(height / grid[0]))
        features = described[:, described.shape[1] - count :].mT.unflatten(2, grid)
        return DenseFeatures(features, patch, self.model_id, extent=(0, 0, width, height))

    def _run(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens that enter the last block, and the patch grid."""
        size = [max(1, round(side / self.patch_size)) * self.patch_size for side in images.shape[2:]]
        if size != list(images.shape[2:]):
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        seen = normalise(images, self.mean, self.std).to(self.tower.dtype)
        x, grid = self.tower.tokens(seen, self.positions)
        return run_blocks(self.tower.blocks_on(grid, self.positions)[:-1], x), grid


def build_vit_guide(
    weights: str | Path = "dino-vit-b16",
    arch: str | Mapping[str, Any] | None = None,
    part: str = "tokens",
    positions: str = "plus",
    *,
    offline: bool = False,
) -> ViTGuide:
    """A guide in float32 on the CPU.

    Args:
        weights: a name of the weights table such as ``dino-vit-b8``, a file, or ``random:SEED``.
        arch: architecture by its name in timm or as arguments of timm's ``VisionTransformer``; None where the weights
            table or the JSON file beside the weights knows it.
        part: one of :data:`PARTS`.
        positions: how the position embedding is resized: ``"plus"`` is DINO's way, ``"antialias"`` that of DINOv2 with
            registers; rotary positions are computed.
        offline: never reach for the network.

    Raises:
        UsageError: where a name or a setting is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    model, model_id, mean, std = open_vit(weights, arch, offline=offline)
    return ViTGuide(model, model_id, part, positions, mean, std)
