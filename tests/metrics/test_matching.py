"""Winoground's scores against the published composition, and by hand."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.metrics.matching import CHANCE, matching_scores


def test_published_scores(shared):
    data = np.load(shared / "golden" / "adapters" / "comclip.npz")
    found = matching_scores(np.array([[[float(data[f"similarity_c{c}_i{i}"]) for i in (0, 1)] for c in (0, 1)]]))
    assert {name: bool(one[0]) for name, one in found._asdict().items()} == {
        name: bool(data[f"{name}_correct"]) for name in found._fields
    }


@pytest.mark.parametrize(
    ("similarities", "expected"),
    [
        ([[2, 1], [1, 2]], (True, True, True)),
        ([[4, 3], [1, 2]], (False, True, False)),
        ([[2, 4], [3, 1]], (False, False, False)),
        ([[4, 2], [3, 5]], (True, True, True)),
        ([[5, 4], [1, 6]], (True, True, True)),
        ([[3, 1], [2, 5]], (True, True, True)),
        ([[3, 4], [2, 5]], (True, False, False)),
        ([[3, 2], [4, 5]], (False, True, False)),
        ([[1, 1], [1, 1]], (False, False, False)),
    ],
)
def test_by_hand(similarities, expected):
    assert tuple(bool(one[0]) for one in matching_scores(np.array([similarities], float))) == expected


def test_chance_is_what_random_similarities_give():
    found = matching_scores(np.random.default_rng(0).random((60_000, 2, 2)))
    assert {name: one.mean() for name, one in found._asdict().items()} == pytest.approx(CHANCE, abs=0.01)


def test_what_is_no_number_is_refused():
    with pytest.raises(UsageError, match="finite"):
        matching_scores(np.full((1, 2, 2), np.nan))
