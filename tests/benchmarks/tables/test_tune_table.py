"""The table of methods of tuning, on a few classes of a few scenes."""

from collections import Counter

import pytest

from densevl.benchmarks.tables import tune
from densevl.benchmarks.tables.shifted_examples import of_names, shifted_examples, shots_of
from densevl.core.errors import UsageError


@pytest.fixture(scope="module")
def examples():
    return shifted_examples("noise", 7, 40)


def test_shots_of_a_smaller_count_are_among_the_others(examples):
    two, one = (shots_of(examples, count, seed=3) for count in (2, 1))
    assert max(Counter(example.name for example in two).values()) == 2
    assert set(one) < set(two)
    assert shots_of(examples, 2, seed=4) != two


def test_new_classes_have_every_colour_and_shape_and_are_known():
    assert len(tune.BASE) == 40
    assert set(tune.NEW) < set(tune.KNOWN)
    for place in (0, 1):
        assert set(Counter(name.split()[place] for name in tune.NEW).values()) == {2}


@pytest.mark.slow
def test_a_row_is_measured_on_classes_that_were_tuned_and_on_others(examples, monkeypatch, tmp_path):
    names = [name for name, count in Counter(example.name for example in examples).most_common(6)]
    monkeypatch.setattr(tune, "NAMES", names)
    monkeypatch.setattr(tune, "BASE", names[:3])
    monkeypatch.setattr(tune, "NEW", names[3:])
    monkeypatch.setattr(tune, "TRAINING", 7)
    monkeypatch.setattr(tune, "ENOUGH", 40)
    monkeypatch.setattr(tune, "SHOTS", 2)
    entry = tune.methods()["coop"]
    short = {**entry, "mini": {"steps": 2, "batch": 4, "views": 1}}
    monkeypatch.setattr("densevl.training.tuning.methods.methods", lambda: {**tune.methods(), "coop": short})
    table = tune.tune_table(60, ["coop"], out=tmp_path, seeds=(0,))
    assert [name for name, _ in table.rows] == ["text", "gda-prior", "coop"]
    for _, cells in table.rows:
        assert all(0 <= cell.mean <= 100 for cell in cells[:5])
    assert [cells[-1] for _, cells in table.rows] == ["0", "0", "2,048"]
    assert len(of_names(examples, names)) <= len(examples)
    assert {file.name for file in tmp_path.iterdir()} == {"text-0.json", "gda-prior-0.json", "coop-0.json"}


def test_unknown_methods_are_refused():
    with pytest.raises(UsageError, match="method 'coap' is unknown"):
        tune.tune_table(1, ["coap"])
