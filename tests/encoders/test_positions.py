"""Position embeddings of other grids: the matrices of a graph against ``interpolate``."""

import pytest
import torch

from densevl.encoders.contracts import POSITIONS
from densevl.encoders.towers.positions import _resize_in_graph, resize_positions


@pytest.mark.parametrize("way", POSITIONS)
@pytest.mark.parametrize("grid", [(14, 14), (14, 9), (28, 37), (5, 3), (1, 2)])
def test_a_graph_resizes_as_interpolate_does(way, grid):
    native = torch.randn(1 + 14 * 14, 8, generator=torch.Generator().manual_seed(0))
    wanted = resize_positions(native, (14, 14), grid, way)[1:].unflatten(0, grid)
    found = _resize_in_graph(native[1:].unflatten(0, (14, 14)), grid, way)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
