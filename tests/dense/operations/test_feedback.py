"""Feedback of labels against plain loops."""

import math

import pytest
import torch

from densevl.dense.operations import feedback
from densevl.dense.operations.feedback import feedback_of_labels


def by_loops(labels):
    height, width = labels.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    largest = max(1, max(height, width) - 1)
    rows = []
    for y, x in places:
        row = []
        for y2, x2 in places:
            apart = max(abs(y - y2), abs(x - x2))
            value = float(labels[y, x] == labels[y2, x2])
            for step in range(apart + 1):
                share = step / largest
                between = round(y + share * (y2 - y)), round(x + share * (x2 - x))
                if labels[between] != labels[y, x]:
                    value *= math.exp(-apart / largest)
                    break
            row.append(value)
        blurred = [
            sum(row[j] * math.exp(-((j - i) ** 2) / 50) for j in range(max(0, i - 15), min(len(row), i + 16)))
            for i in range(len(row))
        ]
        rows.append([value / sum(blurred) for value in blurred])
    return torch.tensor(rows)


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (6, 4), (3, 8), (7, 7)])
def test_against_loops(grid):
    labels = torch.randint(0, 3, (2, *grid), generator=torch.Generator().manual_seed(sum(grid)))
    labels[1] = labels[1, 0, 0]
    found = feedback_of_labels(labels)
    torch.testing.assert_close(found, torch.stack([by_loops(one) for one in labels]), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.sum(2), torch.ones(found.shape[:2]))


def test_a_few_rows_at_a_time(monkeypatch):
    labels = torch.randint(0, 2, (1, 6, 5), generator=torch.Generator().manual_seed(1))
    expected = feedback_of_labels(labels)
    monkeypatch.setattr(feedback, "PAIRS_AT_ONCE", 100)
    torch.testing.assert_close(feedback_of_labels(labels), expected)
