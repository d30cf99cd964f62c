"""Sizes and how they change.

Convention: a size is (height, width) in pixels. Resizing is bilinear with half-pixel centres (``align_corners=False``),
as in OpenCV and in ``torch.nn.functional.interpolate``.
"""

from densevl.structures import Size

__all__ = ["padded_size", "resized_size"]


def resized_size(size: Size, short_side: int, long_side: int = 2048) -> Size:
    """Size after scaling to ``short_side``, keeping the ratio, with no side above ``long_side``.

    The rounding is that of MMCV's ``imrescale``, so that a picture has the same size here and in a benchmark pipeline.
    A side never falls below one pixel.
    """
    height, width = size
    scale = min(long_side / max(height, width), short_side / min(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def padded_size(size: Size, multiple: int) -> Size:
    """The smallest size that holds ``size`` and is divisible by ``multiple``."""
    height, width = size
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple
