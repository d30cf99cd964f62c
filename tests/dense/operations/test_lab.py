import pytest
import torch

from densevl.dense.operations.lab import lab


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.02, 0.02, 0.02), (1.4, 0, 0)),
    ],
)
def test_known_colours(rgb, expected):
    found = lab(torch.tensor(rgb, dtype=torch.float32)[:, None, None])[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=0, atol=0.05)
