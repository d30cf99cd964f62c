"""Whether frozen parts compute gradients: never, but while something inside them is tuned.

What encodes for inference keeps no graph. A training that tunes a few numbers inside an encoder runs the same code
``with gradients():``, so that nothing is written twice.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch

__all__ = ["frozen", "gradients"]

P = ParamSpec("P")
R = TypeVar("R")

TUNING = ContextVar("TUNING", default=False)


@contextmanager
def gradients() -> Iterator[None]:
    """Let what is :func:`frozen` compute gradients in this context."""
    token = TUNING.set(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        TUNING.reset(token)


def frozen(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that computes gradients only ``with gradients():``."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if TUNING.get():
            return function(*args, **kwargs)
        with torch.no_grad():
            return function(*args, **kwargs)

    return run
