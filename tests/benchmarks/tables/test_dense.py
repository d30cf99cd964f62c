"""The table of dense heads: its rows by data, its gains, and what it says of published ones."""

import pytest

from densevl.api.heads import heads
from densevl.benchmarks.tables import dense, measure
from densevl.benchmarks.tables.dense import HEAD, Measured
from densevl.core.errors import UsageError, WeightsError
from densevl.metrics.table import Spread


def measured(*means):
    return Measured([means, means, means], means)


def test_rows_gains_and_what_is_said_of_them(monkeypatch):
    monkeypatch.setattr(dense, "SEEDS", (11, 12))
    monkeypatch.setattr(dense, "REPETITIONS", 1)
    table = measure("dense", 1, models=["mini-maskclip-reduced"])
    assert {name for name, _ in table.rows} == {"mini-maskclip", "mini-maskclip-reduced"}
    for name, cells in table.rows:
        assert len(cells) == len(HEAD) - 1
        assert len(cells[3].values) == 2
        assert cells[4] > 0
        assert (cells[5] == "") == (name == "mini-maskclip")
    assert "1 held-out scenes of 128 px for each of seeds 11, 12" in table.note
    assert str(table)


def test_the_mini_models_of_all_heads_are_the_rows(monkeypatch):
    asked = []
    monkeypatch.setattr(dense, "_loaded", lambda names: (asked.extend(names), ({}, {}))[1])
    monkeypatch.setattr(dense, "_milliseconds", lambda *_: {})
    dense.dense_table(1)
    assert asked == [head.mini for head in heads().values() if head.mini]
    assert asked[0] == "mini-maskclip"


@pytest.mark.parametrize(
    ("means", "published", "said"),
    [
        ((3.0, 3.2), 12.0, "yes"),
        ((0.1, -0.1), 12.0, "no"),
        ((-3.0, -3.2), 12.0, "no, a loss"),
        ((3.0, 3.2), None, ""),
    ],
)
def test_a_gain_shows_where_it_is_larger_than_its_spread(means, published, said):
    base = measured(50.0, 60.0)
    gain = measured(50.0 + means[0], 60.0 + means[1]).over(base)
    assert gain.values == pytest.approx(means)
    assert dense._verdict(gain, published) == said


def test_gains_are_of_the_same_collection():
    assert measured(60.0, 40.0).over(measured(50.0, 30.0)).deviation == 0
    assert isinstance(measured(1.0).over(measured(0.0)), Spread)


def test_what_cannot_be_measured_is_blank_and_said(monkeypatch):
    monkeypatch.setattr(dense, "SEEDS", (11,))
    monkeypatch.setattr(dense, "REPETITIONS", 1)
    table = measure("dense", 1, models=["maskclip"])
    assert table.rows[-1][0] == "maskclip"
    assert "maskclip: " in table.note
    assert "| maskclip | – | – |" in str(table)


def test_models_that_label_no_pixels_and_unknown_ones():
    with pytest.raises(UsageError, match="fgvp labels no pixels"):
        measure("dense", 1, models=["fgvp"])
    with pytest.raises(UsageError, match="unknown"):
        measure("dense", 1, models=["nonsense"])


def test_a_head_that_fails_on_a_scene_leaves_the_others(monkeypatch):
    monkeypatch.setattr(dense, "SEEDS", (11,))
    monkeypatch.setattr(dense, "REPETITIONS", 1)
    found = dense._measured

    def measured_or_not(row, collections):
        if row.name == "mini-naclip":
            raise WeightsError("the guide is not here")
        return found(row, collections)

    monkeypatch.setattr(dense, "_measured", measured_or_not)
    table = measure("dense", 1, models=["mini-naclip"])
    assert [name for name, _ in table.rows] == ["mini-maskclip", "mini-naclip"]
    assert "mini-naclip: the guide is not here." in table.note
