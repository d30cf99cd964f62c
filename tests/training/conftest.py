"""A CLIP to train."""

from collections.abc import Callable

import pytest
from toys.clip import tiny_clip

from densevl.encoders.clip import CLIPEncoder


@pytest.fixture
def tiny() -> Callable[..., CLIPEncoder]:
    """Makes the same CLIP for images of 16 pixels each time, not trained, in float64."""
    return tiny_clip
