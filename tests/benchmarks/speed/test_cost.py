"""The timing primitive against sleeping, and against memory of a known size."""

import math
import subprocess
import sys
import time

import pytest

from densevl.benchmarks.speed.cost import Cost, measure


def test_seconds_are_those_of_the_clock() -> None:
    cost = measure({"sleep": lambda: time.sleep(0.02)}, 2)["sleep"]
    assert len(cost.seconds) == len(cost.added) == len(cost.peak) == 2
    assert all(0.02 <= seconds < 2 for seconds in cost.seconds)
    busy = measure({"sleep": lambda: time.sleep(0.05)}, 1, clock=time.process_time)["sleep"]
    assert busy.median < 0.05


def test_functions_run_in_turn_after_the_warm_up() -> None:
    ran: list[str] = []
    costs = measure({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 2, warm_up=1)
    assert ran == ["a", "b"] * 3
    assert [len(cost.seconds) for cost in costs.values()] == [2, 2]
    assert measure({"a": lambda: ran.append("c")}, 3, warm_up=0)["a"].seconds
    assert ran.count("c") == 3


def test_median_and_best() -> None:
    cost = Cost([3.0, 1.0, 2.0, 9.0])
    assert (cost.median, cost.best) == (2.5, 1.0)


MEMORY = """
import torch
from densevl.benchmarks.speed.cost import measure

kept = torch.ones(50 * 2**20, dtype=torch.uint8)
work = {mebi: lambda mebi=mebi: torch.ones(mebi * 2**20, dtype=torch.uint8) for mebi in (200, 70)}
for cost in measure(work, 1, warm_up=0).values():
    assert not cost.peak[0] < cost.added[0] + 50 * 2**20
    print(cost.added[0] / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_memory_is_the_peak_of_each_function_alone() -> None:
    """In a process of its own, which has no memory left over that a tensor could be put into."""
    run = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    added = list(map(float, run.stdout.split()))
    if any(map(math.isnan, added)):
        pytest.skip("this machine does not let a process forget its peak")
    assert added == [pytest.approx(200, abs=10), pytest.approx(70, abs=10)]
