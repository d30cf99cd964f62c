import pytest

from densevl.benchmarks.speed.referring import benchmark_referring
from densevl.core.errors import UsageError


def test_a_model_is_measured_in_a_process_of_its_own():
    table = benchmark_referring(["mini"], count=2, size=(48, 64))
    ((name, figures),) = table.rows
    assert name == "mini"
    assert len(figures) == len(table.head) - 1
    weights, processor, system, clock, peak = figures
    assert 0.01 < weights < 0.02
    assert 0 <= system <= processor
    assert min(processor, clock) > 0
    assert 0.1 < peak < 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "at least 1"),
        ({"models": ["maskclip"]}, "no grounder"),
        ({"models": ["fgpv"]}, "did you mean fgvp"),
    ],
)
def test_what_cannot_be_measured(wrong, message):
    with pytest.raises(UsageError, match=message):
        benchmark_referring(**wrong)
