"""The pixels of regions and of their outlines, for any number of regions at once, on any device.

Convention: a pixel belongs to a box or an ellipse where its centre lies inside. Boxes are xyxy, half-open, in pixels of
the image that is drawn on.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from densevl.core.geometry import Size

__all__ = ["box_areas", "compose", "ellipse_areas", "empty", "outlines", "resized_masks", "skips_pixels"]

HALF = 0.498
"""Share of a pixel that counts as half: a shade less, so that rounding does not decide where it is exactly half."""


def box_areas(boxes: Float[Tensor, "n 4"], size: Size) -> Bool[Tensor, "n h w"]:
    """Pixels inside each box; that at its centre where the box is smaller than a pixel and holds no centre."""
    x, y = _centres(size, boxes)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    low = torch.minimum(boxes[:, :2], middle.floor() + 0.5)
    high = torch.maximum(boxes[:, 2:], middle.floor() + 0.75)
    columns = (x >= low[:, :1]) & (x < high[:, :1])
    rows = (y >= low[:, 1:]) & (y < high[:, 1:])
    return rows[:, :, None] & columns[:, None]


def ellipse_areas(centres: Float[Tensor, "n 2"], radii: Float[Tensor, "n 2"], size: Size) -> Bool[Tensor, "n h w"]:
    """Pixels inside each upright ellipse; radii below one pixel count as one."""
    x, y = _centres(size, centres)
    radii = radii.clamp(min=1)
    across = ((x - centres[:, :1]) / radii[:, :1]).square()
    along = ((y - centres[:, 1:]) / radii[:, 1:]).square()
    return across[:, None] <= (1 - along)[:, :, None]


def _centres(size: Size, like: Tensor) -> tuple[Float[Tensor, " w"], Float[Tensor, " h"]]:
    height, width = size
    x, y = (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5 for side in (width, height))
    return x, y


def resized_masks(masks: Bool[Tensor, "n H W"], size: Size) -> Bool[Tensor, "n h w"]:
    """Masks at another size: pixels of which at least half is covered.

    A mask too thin for that keeps every pixel that it touches, so that none vanishes.
    """
    if masks.shape[1:] == size or len(masks) == 0:
        return masks if masks.shape[1:] == size else masks.new_zeros(0, *size)
    skips = skips_pixels(masks.shape[1:], size)
    values = F.interpolate(masks[:, None].float(), size, mode="bilinear", antialias=skips)[:, 0]
    solid = values >= HALF
    return torch.where(empty(solid)[:, None, None], values > 0, solid)


def skips_pixels(before: Sequence[int], after: Sequence[int]) -> bool:
    """True where resizing between two neighbours, without antialiasing, skips pixels; sizes are (height, width)."""
    return before[0] > 2 * after[0] or before[1] > 2 * after[1]


def empty(areas: Bool[Tensor, "n h w"]) -> Bool[Tensor, " n"]:
    """True for each area without a pixel."""
    if areas.device.type == "cpu":  # NumPy stops at the first pixel
        return torch.from_numpy(~areas.numpy().reshape(len(areas), -1).any(1))
    return ~areas.flatten(1).any(1)


def outlines(areas: Bool[Tensor, "n h w"], width: int) -> Bool[Tensor, "n h w"]:
    """Lines of so many pixels along the border of each area, half outside and half inside.

    Where an area ends at the edge of the image, its line runs along that edge.
    """
    outer = width // 2
    inner = width - outer
    outside = F.pad(~areas, (inner,) * 4, value=True)
    near_outside = _spread(outside, inner)[:, inner:-inner, inner:-inner]
    return _spread(areas, outer) & near_outside


def _spread(areas: Bool[Tensor, "n h w"], reach: int) -> Bool[Tensor, "n h w"]:
    """Areas grown by so many pixels in all eight directions."""
    result = areas
    for dim in (1, 2):
        grown, length = result.clone(), result.shape[dim]
        for step in range(1, min(reach, length - 1) + 1):
            grown.narrow(dim, step, length - step).logical_or_(result.narrow(dim, 0, length - step))
            grown.narrow(dim, 0, length - step).logical_or_(result.narrow(dim, step, length - step))
        result = grown
    return result


def compose(
    areas: Bool[Tensor, "n h w"], inside: Shaped[Tensor, "_ 3 _ _"], outside: Shaped[Tensor, "_ 3 _ _"]
) -> Shaped[Tensor, "n 3 h w"]:
    """Images that show ``inside`` in their areas and ``outside`` elsewhere, in new memory.

    Args:
        areas: one an image.
        inside: one for all or one for each; of the areas' size, or a single pixel.
        outside: one for all or one for each; of the areas' size, or a single pixel.
    """
    return torch.where(areas[:, None], inside, outside)
