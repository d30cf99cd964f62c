"""Scenes of things that share neither a colour nor a shape."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes.unlike import unlike_things


def test_things_are_unlike_and_the_same_for_ever():
    pairs = set()
    for index in range(8):
        first, second = unlike_things(4, index, 2, 64).objects
        assert first.colour != second.colour
        assert first.shape != second.shape
        pairs.add((first.name, second.name))
    assert len(pairs) > 6
    assert np.array_equal(unlike_things(4, 0, 2, 64).image, unlike_things(4, 0, 2, 64).image)


def test_so_many_things_cannot_be_unlike():
    with pytest.raises(UsageError, match="8 things at most"):
        unlike_things(4, 0, 9)
