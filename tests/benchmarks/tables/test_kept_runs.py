"""Runs of a table are kept, and run again where their settings change or their file is damaged."""

import pytest

from densevl.benchmarks.tables.kept_runs import KeptRuns


@pytest.fixture
def calls():
    return []


def test_a_run_with_the_same_settings_is_not_repeated(tmp_path, calls):
    kept = KeptRuns(tmp_path / "runs")
    results = [kept("clip-svd/noise 0", {"shots": (8,)}, lambda: calls.append(1) or {"right": 71.5}) for _ in range(2)]
    assert results == [{"right": 71.5}] * 2
    assert len(calls) == 1


def test_other_settings_and_damage_are_another_run(tmp_path, calls):
    kept = KeptRuns(tmp_path)
    for settings in ({"shots": 4}, {"shots": 8}):
        kept("run", settings, lambda: calls.append(1) or {})
    (tmp_path / "run.json").write_text("{")
    kept("run", {"shots": 8}, lambda: calls.append(1) or {})
    assert len(calls) == 3


def test_nothing_is_kept_without_a_folder(calls):
    for _ in range(2):
        KeptRuns()("run", {}, lambda: calls.append(1) or {})
    assert len(calls) == 2
