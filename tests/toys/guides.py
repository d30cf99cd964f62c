"""A second encoder that needs no weights."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.features import DenseFeatures


class ColourGuide(nn.Module):
    """Mean colours of cells, through a matrix of its own.

    Args:
        grid: cells (down, right).
    """

    def __init__(self, grid: tuple[int, int] = (6, 4)) -> None:
        super().__init__()
        self.grid = grid
        self.name = f"colours({grid[0]}x{grid[1]})"
        draw = torch.Generator().manual_seed(0)
        self.mix = nn.Parameter(torch.randn(8, 3, 1, 1, generator=draw), requires_grad=False)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> DenseFeatures:
        cells = F.adaptive_avg_pool2d(images.to(self.mix) - 0.5, self.grid)
        return DenseFeatures(F.conv2d(cells, self.mix), images.shape[2] // self.grid[0], self.name)


class AttentionGuide(ColourGuide):
    """The same with queries, keys and values of two heads as maps, as the last block of SAM has them."""

    heads = 2

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> DenseFeatures:
        seen = super().forward(images)
        return replace(seen, maps={"query": seen.grid, "key": seen.grid.flip(1), "value": seen.grid**2})
