"""A model and scenes that lenses ask about."""

import pytest

import densevl
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject


@pytest.fixture(scope="session")
def mini() -> Subject:
    """The mini model, asked by names."""
    return Subject(densevl.load("mini", device="cpu", lazy=True))


@pytest.fixture
def scenes() -> Source:
    """A few scenes."""
    return Source(scenes=4, seed=3)
