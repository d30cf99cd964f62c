"""What workers of a Ray cluster have done, as counters that Ray shows to Prometheus."""

from typing import Any

from ray.util.metrics import Counter, Histogram

from densevl.core.engine.contracts import Outcome

__all__ = ["Metrics"]

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
"""Bounds of the histogram, in seconds."""


class Metrics:
    """Counts of one worker.

    Ray adds them up over all workers and shows them with ``ray_`` before their names, on the metrics port of each
    machine: ``densevl_items_done_total``, ``densevl_items_failed_total`` and ``densevl_step_seconds`` of each step.
    """

    def __init__(self) -> None:
        self._done = Counter("densevl_items_done_total", "Items with results")
        self._failed = Counter("densevl_items_failed_total", "Items without results")
        self._seconds = Histogram("densevl_step_seconds", "Seconds of a step of an item", SECONDS, ("step",))

    def count(self, outcome: Outcome[Any, Any]) -> None:
        """Take account of an outcome."""
        (self._done if outcome.failure is None else self._failed).inc()
        if outcome.took is not None:
            for step in ("read", "make", "write"):
                # A step that was not done takes no time, and Ray takes none of zero.
                if seconds := getattr(outcome.took, step):
                    self._seconds.observe(seconds, {"step": step})
