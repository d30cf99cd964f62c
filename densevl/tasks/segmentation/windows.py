"""Sliding windows over a resized image.

Convention: boxes of windows are pixels of the resized image, half-open. The starts follow mmsegmentation's slide
inference (``EncoderDecoder.slide_inference``): one window every ``stride`` pixels, the last one of an axis shifted back
inside, and a window larger than the image clipped to it. So all windows of one image have the same size.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size

__all__ = ["WindowPlan"]


@dataclass(frozen=True)
class WindowPlan:
    """The places of the windows of an image: the grid ``ys`` × ``xs`` of their upper-left corners.

    Attributes:
        size: of the resized image.
        window: side, or (height, width), of a window; ``None`` takes the whole image as one window.
        stride: step, or (down, right), between windows; no larger than the window, or pixels would be left out.
    """

    size: Size
    window: int | Size | None = 448
    stride: int | Size = 224

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise UsageError(f"size: an image has at least 1×1 pixels, not {self.size[0]}×{self.size[1]}")
        if self.window is None:
            return
        for side, step in zip(_pair(self.window), _pair(self.stride), strict=True):
            if side < 1 or not 1 <= step <= side:
                raise UsageError(
                    f"window={self.window}, stride={self.stride}: expected 1 ≤ stride ≤ window, "
                    "so that the windows cover every pixel; lower the stride or enlarge the window"
                )

    @cached_property
    def window_size(self) -> Size:
        """Size of every window after clipping to the image."""
        if self.window is None:
            return self.size
        height, width = _pair(self.window)
        return min(height, self.size[0]), min(width, self.size[1])

    @cached_property
    def ys(self) -> tuple[int, ...]:
        """First rows of the windows, from top to bottom."""
        return _starts(self.size[0], self.window_size[0], _pair(self.stride)[0])

    @cached_property
    def xs(self) -> tuple[int, ...]:
        """First columns of the windows, from left to right."""
        return _starts(self.size[1], self.window_size[1], _pair(self.stride)[1])

    def __len__(self) -> int:
        return len(self.ys) * len(self.xs)

    @cached_property
    def boxes(self) -> tuple[tuple[int, int, int, int], ...]:
        """(left, top, right, bottom) of the windows in reading order."""
        height, width = self.window_size
        return tuple((x, y, x + width, y + height) for y in self.ys for x in self.xs)

    def grid(self, patch_size: int) -> Size:
        """Patches of a window, which is padded at the right and the bottom to whole patches.

        Args:
            patch_size: side of a patch in pixels.
        """
        height, width = self.window_size
        return -(-height // patch_size), -(-width // patch_size)

    def crop(self, image: Float[Tensor, "b c H W"]) -> Float[Tensor, "windows c h w"]:
        """Cut the windows out, image by image and in reading order: ``b * len(self)`` of them.

        Raises:
            UsageError: where the images have another size than the plan.
        """
        if image.shape[-2:] != self.size:
            raise UsageError(f"image: the plan is for {self.size}, the images have {tuple(image.shape[-2:])}")
        height, width = self.window_size
        windows = [image[..., y : y + height, x : x + width] for y in self.ys for x in self.xs]
        return torch.stack(windows, dim=1).flatten(0, 1)


def _pair(value: int | Size) -> Size:
    return (value, value) if isinstance(value, int) else value


def _starts(length: int, window: int, stride: int) -> tuple[int, ...]:
    count = -(-(length - window) // stride) + 1
    return tuple(min(index * stride, length - window) for index in range(count))
