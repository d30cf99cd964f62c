"""Time and memory of functions, measured side by side.

The functions run in turn, one repetition of all after the other, so that what else the machine does meets them alike.
"""

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

__all__ = ["Cost", "measure", "status"]

CPU = torch.device("cpu")
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Cost:
    """Time and memory of a function, one value for each repetition.

    Attributes:
        seconds: from its start until the device has done its work.
        added: bytes at the peak beyond those that were in use before; NaN where the system does not tell.
        peak: bytes in use at the peak, of this process or of the GPU; NaN where the system does not tell.
    """

    seconds: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Least of the seconds."""
        return min(self.seconds)


def measure(
    functions: Mapping[Name, Callable[[], object]],
    repetitions: int,
    device: torch.device = CPU,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: int = 1,
) -> dict[Name, Cost]:
    """Measure functions in turn.

    Args:
        functions: by name; they run in this order, again and again, and may build on each other.
        repetitions: number of measured runs of each.
        device: where the work is done; a GPU is waited for, and its memory is the one that is measured.
        clock: gives seconds; ``time.process_time`` leaves out what other processes do.
        warm_up: number of runs of each that come first and are not measured.
    """
    costs = {name: Cost() for name in functions}
    for repetition in range(-warm_up, repetitions):
        for name, function in functions.items():
            before = _forget_peak(device)
            start = clock()
            result = function()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds, peak = clock() - start, _peak(device)
            del result  # to free it takes time too, which is not the function's
            if repetition >= 0:
                costs[name].seconds.append(seconds)
                costs[name].added.append(peak - before)
                costs[name].peak.append(peak)
    return costs


def _forget_peak(device: torch.device) -> float:
    """Let the peak start from the bytes in use now; their number."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # another system, or a container that does not allow it
        return math.nan
    return status("VmRSS")


def _peak(device: torch.device) -> float:
    return float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else status("VmHWM")


def status(entry: str) -> float:
    """Bytes that Linux says of this process; nan on another system.

    Args:
        entry: of ``/proc/self/status``, such as ``VmRSS``.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{entry}:"):
                return float(line.split()[1]) * 1024
    return math.nan
