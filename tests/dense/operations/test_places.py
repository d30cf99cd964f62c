import math

import pytest
import torch

from densevl.dense.operations.places import neighbour_bias, token_bias


@pytest.mark.parametrize("grid", [(3, 4), (1, 5), (2, 1)])
def test_neighbour_bias(grid):
    places = [(y, x) for y in range(grid[0]) for x in range(grid[1])]
    expected = [[math.exp(-((a - c) ** 2 + (b - d) ** 2) / (2 * 1.5**2)) for c, d in places] for a, b in places]
    torch.testing.assert_close(neighbour_bias(grid, 1.5, torch.device("cpu")), torch.tensor(expected))


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_before_the_patches_have_no_place(prefix):
    found = token_bias((2, 3), prefix, 2.0, torch.zeros(1, dtype=torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert found.shape == (prefix + 6, prefix + 6)
    assert not found[:prefix].any()
    assert not found[:, :prefix].any()
    torch.testing.assert_close(found[prefix:, prefix:], neighbour_bias((2, 3), 2.0, torch.device("cpu")).bfloat16())


def test_it_is_made_once():
    assert neighbour_bias((4, 4), 5.0, torch.device("cpu")) is neighbour_bias((4, 4), 5.0, torch.device("cpu"))
