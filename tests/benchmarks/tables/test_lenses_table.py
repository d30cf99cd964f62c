"""The table of lenses: every figure is among the values of its lens, and runs are kept."""

import pytest

from densevl.benchmarks.lenses import LENSES
from densevl.benchmarks.tables import lenses
from densevl.metrics.table import Spread


def test_each_row_names_a_lens():
    assert {figure.lens for figure in lenses.FIGURES} <= set(LENSES.names)


def test_rows_are_read_from_the_values_of_the_lenses(monkeypatch, tmp_path):
    some = [figure for figure in lenses.FIGURES if figure.lens in ("association", "cues")]
    monkeypatch.setattr(lenses, "FIGURES", some)
    table = lenses.lenses_table(2, out=tmp_path, seeds=(0,))
    assert [name.partition(":")[0] for name, _ in table.rows] == [figure.lens for figure in some]
    for _, cells in table.rows:
        assert all(isinstance(cell, Spread) for cell in cells)
    assert {file.name for file in tmp_path.iterdir()} == {"association-0.json", "cues-0.json"}
    assert "2 scenes of each of 1 collections" in table.note


@pytest.mark.slow
def test_every_figure_is_there():
    table = lenses.lenses_table(6, seeds=(0,))
    assert len(table.rows) == len(lenses.FIGURES)
