"""Scenes that several tests read."""

import pytest

from densevl.datasets.scenes import Scene, render


@pytest.fixture(scope="session")
def training_scenes() -> list[Scene]:
    return [render(0, i, 24) for i in range(500)]


@pytest.fixture(scope="session")
def validation_scenes() -> list[Scene]:
    return [render(21, i, 64, split="val") for i in range(100)]
