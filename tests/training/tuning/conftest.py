"""A tiny CLIP that is tuned to tell red from blue."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from toys.tuning import tuned_colours


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the images."""
    return tmp_path_factory.mktemp("colours")


@pytest.fixture
def tuned(colours: Path) -> Callable[..., Any]:
    """Makes a model that has turned to the two colours."""
    return partial(tuned_colours, colours)
