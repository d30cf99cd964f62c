"""Position embeddings of another grid than the one that a tower was trained with.

Convention: half-pixel centres (``align_corners=False``), in float32. A graph that is traced serves every grid, so there
the same interpolation is two products with matrices, whose sizes may be symbols.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.contracts import POSITIONS

__all__ = ["GRIDS_KEPT", "PositionTable", "resize_positions"]

GRIDS_KEPT = 16
"""Grids whose positions a tower remembers."""


class PositionTable:
    """The position embedding of a tower for the last few grids, while it is fixed.

    Args:
        prefix: number of its rows before those of the patches.
    """

    def __init__(self, prefix: int) -> None:
        self.prefix = prefix
        self._kept: dict[tuple[Any, ...], Tensor] = {}

    def resized(
        self, native: Float[Tensor, "m c"], from_grid: Size, to_grid: Size, dtype: torch.dtype, way: str = "size"
    ) -> Float[Tensor, "n c"]:
        """The embedding of a grid, the prefix first; see :func:`resize_positions`."""
        if (native.requires_grad and torch.is_grad_enabled()) or torch.compiler.is_compiling():
            return resize_positions(native, from_grid, to_grid, way, self.prefix).to(dtype)
        version = 0 if native.is_inference() else native._version
        key = (to_grid, way, dtype, native.device, id(native), version)
        if key not in self._kept:
            while len(self._kept) >= GRIDS_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = resize_positions(native.detach(), from_grid, to_grid, way, self.prefix).to(dtype)
        return self._kept[key]


def resize_positions(
    positions: Float[Tensor, "m c"], from_grid: Size, to_grid: Size, way: str = "size", prefix: int = 1
) -> Float[Tensor, "n c"]:
    """A position embedding for another grid; the rows of the prefix are kept.

    Args:
        positions: of the prefix, then of the patches in reading order.
        from_grid: patches (down, right) that it was trained with.
        to_grid: patches wanted.
        way: one of :data:`densevl.encoders.contracts.POSITIONS`.
        prefix: number of rows before those of the patches.

    Raises:
        UsageError: where the way is another.
    """
    if way not in POSITIONS:
        raise UsageError(f"positions must be one of {', '.join(POSITIONS)}; got {way!r}")
    if torch.compiler.is_compiling():
        patches = _resize_in_graph(positions[prefix:].float().unflatten(0, from_grid), to_grid, way)
        return torch.cat([positions[:prefix].float(), patches.flatten(0, 1)])
    if from_grid == to_grid:
        return positions
    rows = positions[prefix:].float().unflatten(0, from_grid).permute(2, 0, 1)[None]
    mode = "bilinear" if way == "bilinear" else "bicubic"
    if way == "plus":
        scale = [(to + 0.1) / side for to, side in zip(to_grid, from_grid, strict=True)]
        resized = F.interpolate(rows, scale_factor=scale, mode=mode, align_corners=False)
    else:
        resized = F.interpolate(rows, size=to_grid, mode=mode, align_corners=False, antialias=way == "antialias")
    return torch.cat([positions[:prefix].float(), resized[0].flatten(1).mT])


def _resize_in_graph(native: Float[Tensor, "h0 w0 c"], to_grid: Size, way: str) -> Float[Tensor, "h w c"]:
    """What :func:`resize_positions` does on the grid of the patches, without a question about its sizes."""
    lengths = [native.new_ones(to).sum() for to in to_grid]  # numbers of the graph
    kept = (lengths[0] == native.shape[0]) & (lengths[1] == native.shape[1])
    weights = []
    for to, length, side in zip(to_grid, lengths, native.shape[:2], strict=True):
        pitch = torch.where(kept, 1.0, side / (length + 0.1)) if way == "plus" else side / length
        weights.append(_resampling((native.new_ones(to).cumsum(0) - 0.5) * pitch - 0.5, side, way, pitch))
    return torch.einsum("yi,xj,ijc->yxc", *weights, native)


def _resampling(places: Float[Tensor, " n"], side: int, way: str, pitch: Float[Tensor, ""]) -> Float[Tensor, "n m"]:
    """Weights of the cells of a line at places in units of cells."""
    cells = torch.arange(side, dtype=places.dtype, device=places.device)
    if way == "bilinear":
        return (1 - (places.clamp(0, side - 1)[:, None] - cells).abs()).clamp(min=0)
    if way == "antialias":
        weights = _cubic((places[:, None] - cells) / pitch.clamp(min=1), -0.5)
        return weights / weights.sum(dim=1, keepdim=True)
    before = places.floor()
    taps = [(before + step, _cubic(places - before - step, -0.75)) for step in (-1, 0, 1, 2)]
    return sum(weight[:, None] * (at.clamp(0, side - 1)[:, None] == cells) for at, weight in taps)  # type: ignore[return-value]


def _cubic(distance: Float[Tensor, "*n"], a: float) -> Float[Tensor, "*n"]:
    """The kernel of bicubic interpolation with its parameter ``a``."""
    x = distance.abs()
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
