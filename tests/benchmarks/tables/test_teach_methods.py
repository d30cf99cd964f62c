"""The table of all methods: its rows, on few scenes and few shots."""

import math

import pytest

from densevl.benchmarks.tables import measure, teach, teach_methods
from densevl.classifiers import CLASSIFIERS


@pytest.mark.slow
def test_every_method_has_a_row(monkeypatch, tmp_path):
    monkeypatch.setattr(teach, "SEEDS", (0,))
    monkeypatch.setattr(teach_methods, "SEEDS", (0,))
    table = measure("teach-methods", 8)
    names = [name for name, _ in table.rows]
    assert names == ["text", *teach_methods.METHODS]
    assert all(len(values) == len(table.head) - 1 for _, values in table.rows)
    rows = dict(table.rows)
    assert math.isnan(rows["gda"][0]), "one example a class leaves no covariance"
    assert rows["gda-prior"][1].values[0] > 2 * rows["text"][1], "examples of unknown words are worth something"


def test_no_method_is_left_out():
    elsewhere = {"closed-set", "floss", "gda-prior-tuned", "text"}  # without examples, or in the table `teach`
    assert set(teach_methods.METHODS) == set(CLASSIFIERS.rows) - elsewhere
