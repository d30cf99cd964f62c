"""Cost curves: each point does its work, in this process and in one of its own."""

import pytest

from densevl.benchmarks.speed import curves
from densevl.core.errors import UsageError


@pytest.mark.parametrize("name", [name for name in curves.CURVES if name != "regions"])
def test_a_point_does_its_work(name):
    small = {"pixels": 48, "tiles": 48}.get(name, 2)
    assert curves.prepare(name, small, "mini-maskclip")() is not None


@pytest.mark.slow
def test_points_run_in_processes_of_their_own(monkeypatch):
    monkeypatch.setitem(curves.CURVES, "classes", curves.CURVES["classes"]._replace(values=(1, 3)))
    table = str(curves.benchmark_curves(["classes"], ["mini-maskclip"]))
    assert "mini-maskclip: classes that an encoded image is labelled with | 3 |" in table


def test_an_unknown_curve_names_the_known_ones():
    with pytest.raises(UsageError, match="unknown curve 'class'; did you mean classes"):
        curves.benchmark_curves(["class"])
