"""Image towers of open_clip: a ViT for images of any size.

Convention: images are RGB in [0, 1] and are normalised here. The position embedding is resized from its native grid,
bicubic with half-pixel centres (``align_corners=False``) and no antialiasing, in float32.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torchvision.transforms.functional import InterpolationMode, center_crop, resize

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.geometry import Size

__all__ = ["ImageTower", "check_images", "fit", "resize_positions"]

GRIDS_KEPT = 16


class ImageTower:
    """The image tower of an open_clip model, run from its parts.

    Patch dropout is left out, also where the model is being trained.

    Args:
        visual: the tower; it is referred to, not copied.
        mean: mean of each channel that it was trained with.
        std: standard deviation of each channel that it was trained with.

    Raises:
        UsageError: where the tower is not a ViT of square patches and standard blocks.
    """

    def __init__(self, visual: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        _check_tower(visual)
        self.visual: Any = visual
        # Plain numbers, not buffers: a module in bfloat16 would round them.
        self.mean, self.std = tuple(mean), tuple(std)
        self._positions: dict[tuple[Any, ...], Tensor] = {}

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks, first to last."""
        return self.visual.transformer.resblocks

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return tuple(self.visual.image_size)

    def tokens(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b n c"], Size]:
        """Class token and patch tokens that enter the first block, and the patch grid.

        Args:
            images: sides divisible by the patch size.
        """
        patches = self.visual.conv1(self._normalised(images))
        height, width = patches.shape[2:]
        positions = self._position_embedding((height, width), patches.dtype)
        first = (self.visual.class_embedding.to(patches.dtype) + positions[0]).expand(len(patches), 1, -1)
        x = torch.cat([first, patches.flatten(2).mT + positions[1:]], dim=1)
        return self.visual.ln_pre(x), (height, width)

    def project(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """From the width of the tower to the joint space."""
        return tokens if self.visual.proj is None else tokens @ self.visual.proj

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images of the native size, not normalised; equal to ``visual(images)``."""
        if self.visual.attn_pool is not None:
            pooled = self.visual(self._normalised(images))
            return pooled[0] if isinstance(pooled, tuple) else pooled
        x, _ = self.tokens(images)
        for block in self.blocks:
            x = run_block(block, x)["out"]
        return self.pool(x)

    def pool(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the tokens behind the last block.

        Raises:
            UsageError: where the model pools by an attention of its own.
        """
        visual = self.visual
        if visual.attn_pool is not None:
            raise UsageError("a CLIP that pools its patches by attention is not pooled here; take one such as ViT-B-16")
        if visual.pool_type == "tok":
            return self.project(visual.ln_post(x[:, 0]))
        if visual.final_ln_after_pool:
            return self.project(visual.ln_post(x[:, 1:].mean(dim=1)))
        return self.project(visual.ln_post(x[:, 1:]).mean(dim=1))

    def _normalised(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 H W"]:
        mean, std = (images.new_tensor(value)[:, None, None] for value in (self.mean, self.std))
        return ((images - mean) / std).to(self.visual.transformer.get_cast_dtype())

    def _position_embedding(self, grid: Size, dtype: torch.dtype) -> Float[Tensor, "n c"]:
        """Position embedding of the class token and of a grid; the last few grids are remembered while it is fixed."""
        native = self.visual.positional_embedding
        if native.requires_grad and torch.is_grad_enabled():
            return resize_positions(native, tuple(self.visual.grid_size), grid).to(dtype)
        version = 0 if native.is_inference() else native._version
        key = (grid, dtype, native.device, native.data_ptr(), version)
        if key not in self._positions:
            while len(self._positions) >= GRIDS_KEPT:
                self._positions.pop(next(iter(self._positions)))
            self._positions[key] = resize_positions(native.detach(), tuple(self.visual.grid_size), grid).to(dtype)
        return self._positions[key]


def fit(images: Float[Tensor, "b 3 H W"], size: Size, mode: str) -> Float[Tensor, "b 3 h w"]:
    """Bring images to a size, bicubic with antialiasing.

    Args:
        images: RGB in [0, 1].
        size: (height, width) wanted.
        mode: ``"crop"`` scales until one side fits and crops the centre, as CLIP does; ``"squash"`` keeps all of the
            image and gives up its ratio.

    Raises:
        UsageError: where the mode is another.
    """
    if mode not in ("crop", "squash"):
        raise UsageError(f"mode must be `crop` or `squash`; got {mode!r}")
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    target = list(size)
    if mode == "crop":
        target = [max(size[0], height * size[1] // width), max(size[1], width * size[0] // height)]
    resized = resize(images, target, InterpolationMode.BICUBIC, antialias=True)
    return center_crop(resized, list(size)).clamp(0, 1)


def resize_positions(positions: Float[Tensor, "m c"], native: Size, grid: Size) -> Float[Tensor, "n c"]:
    """Position embedding, the class token's first, of another grid; see the convention above."""
    if native == grid:
        return positions
    rows = positions[1:].float().unflatten(0, native).permute(2, 0, 1)[None]
    resized = F.interpolate(rows, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:1].float(), resized[0].flatten(1).mT])


def _check_tower(visual: nn.Module) -> None:
    if not isinstance(visual, VisionTransformer):
        raise UsageError(f"the image tower must be a ViT of open_clip; got {type(visual).__name__}")
    if visual.patch_size[0] != visual.patch_size[1]:
        raise UsageError(f"patches must be square; got {visual.patch_size}")
    strange = {type(block).__name__ for block in visual.transformer.resblocks} - {ResidualAttentionBlock.__name__}
    if strange:
        raise UsageError(f"the blocks of the image tower must be ResidualAttentionBlock; got {', '.join(strange)}")


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of RGB images.

    Raises:
        UsageError: where it is not.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape or not images.is_floating_point():
        raise UsageError(
            f"images must be RGB in [0, 1] as a float tensor (b, 3, H, W); got {tuple(images.shape)} of {images.dtype}"
        )
