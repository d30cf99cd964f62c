"""Tables as text and as JSON values."""

import json

import pytest

from densevl.metrics.table import Spread, Table, said

NONE = float("nan")


def test_a_figure_of_several_seeds_is_mean_and_deviation() -> None:
    assert f"{Spread((1.0, 3.0)):.1f}" == "2.0 ± 1.0"
    assert f"{Spread((1.0,)):.1f}" == "1.0"


def test_nothing_is_known_where_a_seed_has_no_figure() -> None:
    spread = Spread((1.0, NONE))
    assert f"{spread:.1f}" == "nan"
    assert spread.deviation != spread.deviation
    assert "| – |" in str(Table(("head", "figure"), [("row", (spread,))], "note"))


def test_the_record_has_every_value_by_the_name_of_its_column() -> None:
    inner = Table(("head", "figure"), [("row", (1.0,))], "inner")
    table = Table(
        ("head", "figure", "other", "word"), [("row", (Spread((1.0, 2.00004)), NONE, "yes"))], "note", (inner,)
    )
    record = json.loads(json.dumps(table.record))
    assert record["head"] == ["head", "figure", "other", "word"]
    assert record["rows"] == [
        {"name": "row", "figure": {"mean": 1.5, "deviation": 0.5, "values": [1.0, 2.0]}, "other": None, "word": "yes"}
    ]
    assert record["note"] == "note"
    assert record["further"] == [inner.record]
    assert "further" not in inner.record


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = Table(("head", "figure", "other"), [("row", (1.0,))], "note").record


@pytest.mark.parametrize(
    ("cell", "text"),
    [({"mean": 1.25, "deviation": 0.5, "values": [1, 1.5]}, "1.2 ± 0.5"), (None, "–"), ("", ""), (3.0, "3.0")],
)
def test_figures_of_a_record_as_they_are_written(cell: object, text: str) -> None:
    assert said(cell) == text
