"""Images prepared for an encoder: checked, brought to a size, continued to whole patches.

Convention: images are RGB in [0, 1].
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Extent, Size, first_cells, pad_to_multiple
from densevl.encoders.contracts import BORDERS

__all__ = ["check_images", "continued", "fit", "whole_patches"]

CENTRED = 56
"""Sides are continued to a multiple of so many pixels: patches of 8 and of 14 divide it."""


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of RGB images.

    Raises:
        UsageError: where it is not.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape or not images.is_floating_point():
        raise UsageError(
            f"images must be RGB in [0, 1] as a float tensor (b, 3, H, W); got {tuple(images.shape)} of {images.dtype}"
        )


def whole_patches(
    images: Float[Tensor, "b 3 H W"], patch_size: int, border: str = "black"
) -> Float[Tensor, "b 3 H2 W2"]:
    """Images whose sides are multiples of the patch.

    Args:
        images: any size.
        patch_size: side of a patch in pixels.
        border: one of :data:`densevl.encoders.contracts.BORDERS`.

    Raises:
        UsageError: where the border is another, or dropping it leaves no patch.
    """
    if border not in BORDERS:
        raise UsageError(f"border must be one of {', '.join(BORDERS)}; got {border!r}")
    height, width = images.shape[2:]
    if border == "drop":
        rows, columns = height // patch_size * patch_size, width // patch_size * patch_size
        if 0 in (rows, columns):
            raise UsageError(f"an image of {height}×{width} holds no patch of {patch_size} pixels; enlarge it")
        return first_cells(images, rows, columns)
    return pad_to_multiple(images, patch_size)


def continued(
    images: Float[Tensor, "b 3 H W"], patch_size: int, border: str, colour: Sequence[float] | None
) -> tuple[Float[Tensor, "b 3 H2 W2"], Extent]:
    """Images as an encoder shall see them, and what a map of their patches covers of the images given.

    Sides are multiples of the patch, or, with ``"centre56"``, of 56; of these an encoder drops the rest.

    Args:
        images: any size, RGB in [0, 1].
        patch_size: side of a patch in pixels.
        border: one of :data:`densevl.encoders.contracts.DENSE_BORDERS`.
        colour: RGB in [0, 1], by which ``"centre56"`` continues an image; None for an encoder that tells none.

    Raises:
        UsageError: where the border is another, has no colour, or leaves no patch.
    """
    height, width = images.shape[2:]
    if border != "centre56":
        whole = whole_patches(images, patch_size, border)
        across, down = (width, height) if border == "drop" else (whole.shape[3], whole.shape[2])
        return whole, (0, 0, across, down)
    if colour is None:
        raise UsageError(
            "border=centre56 continues images in the mean colour of the encoder's training, and this encoder tells "
            "none; take border=drop or border=black"
        )
    rows, columns = -height % CENTRED, -width % CENTRED
    left, top = columns // 2, rows // 2
    centred = torch.tensor(colour).to(images)[:, None, None].expand(len(images), 3, height + rows, width + columns)
    centred = centred.clone()
    centred[:, :, top : top + height, left : left + width] = images
    return centred, (-left, -top, width + columns - left, height + rows - top)


def fit(
    images: Float[Tensor, "b 3 H W"], size: Size, mode: str, interpolation: str = "bicubic"
) -> Float[Tensor, "b 3 h w"]:
    """Bring images to a size, with antialiasing.

    Args:
        images: RGB in [0, 1].
        size: (height, width) wanted.
        mode: ``"crop"`` scales until one side fits and crops the centre, as CLIP does; ``"squash"`` keeps all of the
            image and gives up its ratio.
        interpolation: ``"bicubic"`` or ``"bilinear"``.

    Raises:
        UsageError: where the mode or the interpolation is another.
    """
    if mode not in ("crop", "squash"):
        raise UsageError(f"mode must be `crop` or `squash`; got {mode!r}")
    if interpolation not in ("bicubic", "bilinear"):
        raise UsageError(f"interpolation must be `bicubic` or `bilinear`; got {interpolation!r}")
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    target = list(size)
    if mode == "crop":
        target = [max(size[0], height * size[1] // width), max(size[1], width * size[0] // height)]
    # As torchvision's `resize` and `center_crop`, whose import takes longer than that of torch.
    wide = images if images.dtype == torch.float64 else images.float()
    resized = F.interpolate(wide, target, mode=interpolation, align_corners=False, antialias=True).to(images.dtype)
    top, left = (round((target[side] - size[side]) / 2) for side in (0, 1))
    return resized[..., top : top + size[0], left : left + size[1]].clamp(0, 1)
