"""The table of two things: its rows, and what its scores must do on vectors whose answer is known."""

import torch

from densevl.benchmarks.tables import compose, measure
from densevl.benchmarks.tables.compose import SCORES, SEEDS, Asked


def test_rows():
    table = measure("compose", 4)
    assert [name for name, _ in table.rows] == [*SCORES, "search", "search --compose"]
    swaps = [values[0].values for _, values in table.rows[:3]]
    assert all(len(values) == len(SEEDS) and 0 <= min(values) <= max(values) <= 100 for values in swaps)
    assert set(swaps[2]) == {100}, "each thing by itself is told in so few scenes"
    assert "scenes of 128 px (seeds 101, 102, 103)" in table.note


def test_things_are_told_by_their_own_words():
    regions, picture = torch.eye(4)[:2], torch.ones(4) / 2
    true = Asked(torch.ones(4) / 2, torch.eye(4)[:2])
    swapped = Asked(torch.ones(4) / 2, torch.eye(4)[2:])
    scores = {
        name: (float(score(picture, regions, true)), float(score(picture, regions, swapped)))
        for name, score in SCORES.items()
    }
    assert scores["whole picture"] == (1.0, 1.0)
    assert scores["each thing by itself"] == (1.0, 0.0)
    assert compose.SIZE == 128
