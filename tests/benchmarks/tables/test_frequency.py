"""The table of caused frequency: from kept runs, and by training."""

import json

import pytest

from densevl.benchmarks.tables import frequency as table
from densevl.benchmarks.tables import measure
from densevl.datasets.scenes import SHAPES
from densevl.datasets.scenes.counted import CountedPlan


def kept(seed, scenes, right):
    """A run in which each colour is named right in so many of its eight shapes."""
    plan = CountedPlan.of_seed(seed, table.LEVELS, table.SHOWN, table.KNOWN)
    shown = {colour: [shape for own, shape in plan.pairs if own == colour] for colour in plan.counts}
    truths = [f"{colour} {shape}" for colour in (*plan.counts, "red") for shape in SHAPES]
    after = []
    for name in truths:
        colour, shape = name.split()
        known = SHAPES.index(shape) < right.get(plan.counts.get(colour), 8)
        after.append(name if known else f"{colour} {SHAPES[(SHAPES.index(shape) + 1) % 8]}")
    settings = {
        "seed": seed, "scenes": scenes, "steps": table.STEPS, "batch": table.BATCH, "rate": table.RATE,
        "levels": table.LEVELS, "shapes": table.SHOWN, "known": table.KNOWN,
    }  # fmt: skip
    plan_of = {"counts": dict(plan.counts), "shown": shown}
    result = {"plan": plan_of, "truths": truths, "before": ["red star"] * 48, "after": after}
    return {"settings": settings, "result": result}


def test_runs_that_were_kept_are_counted(tmp_path):
    right = {0: 1, 1: 2, 10: 4, 100: 6, 1000: 8}
    for seed in table.SEEDS:
        (tmp_path / f"frequency-{seed}.json").write_text(json.dumps(kept(seed, 48, right)))
    found = measure("frequency", 48, out=tmp_path)
    rows = {row["name"]: row for row in found.record["rows"]}
    assert list(rows) == ["0", "1", "10", "100", "1000", "known colours"]
    assert rows["0"]["named right: shown pairs"] == "–"
    assert rows["0"]["pairs never shown"]["mean"] == pytest.approx(12.5)
    assert rows["1000"]["named right: shown pairs"]["mean"] == rows["1000"]["pairs never shown"]["mean"] == 100
    assert rows["1"]["colour right"]["mean"] == 100
    assert rows["10"]["before"]["mean"] == 0
    assert rows["known colours"]["named right: shown pairs"]["mean"] == 100
    lines = found.further[0].record["rows"]
    assert [line["points for ten times as many"]["mean"] for line in lines] == [pytest.approx(25)] * 2
    assert lines[1]["Pearson × 100"]["mean"] == pytest.approx(100)
    assert lines[0]["Pearson × 100"]["mean"] < 70


@pytest.mark.slow
def test_a_run_is_trained_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "SEEDS", (0,))
    monkeypatch.setattr(table, "LEVELS", (0, 1, 2, 3, 4))
    monkeypatch.setattr(table, "KNOWN", 20)
    first = str(measure("frequency", 104, steps=2, out=tmp_path))
    assert (tmp_path / "frequency-0.json").is_file()
    monkeypatch.setattr(table, "_measured", None)
    assert str(measure("frequency", 104, steps=2, out=tmp_path)) == first
