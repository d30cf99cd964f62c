"""The table of shrunk models: what it measures, on few scenes."""

import pytest

from densevl.benchmarks.tables import measure, shrink


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(shrink, "SIZES", ((48, 1),))
    monkeypatch.setattr(shrink, "IMPORTANT", {**shrink.IMPORTANT, "length": 2})
    monkeypatch.setattr(shrink, "TEXT", shrink.Size(32, 1))
    monkeypatch.setattr(shrink, "LEARNT", shrink.Size(48, 1))
    monkeypatch.setattr(shrink, "BATCH", 2)
    monkeypatch.setattr(shrink, "REPETITIONS", 1)


@pytest.mark.slow
def test_rows(small):
    table = measure("shrink", 1, 2)
    names = [name for name, _ in table.rows]
    assert names[0] == "the mini CLIP"
    assert names[1:3] == ["width 48, depth 1: first parts", "width 48, depth 1: important parts"]
    assert names[-1] == "48, 1, 2 steps: new weights"
    weights = {name: cells[:2] for name, cells in table.rows}
    assert weights[names[1]][0] < 0.2 * weights[names[0]][0]
    assert all(0 <= cells[2] <= 100 and cells[3] > 0 for _, cells in table.rows)
