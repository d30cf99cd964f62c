"""Evidence of teaching: boxes of examples."""

import pytest

from densevl.datasets.examples import Example
from densevl.tasks.teaching.supporting import box_of


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ({"box": (1, 2, 5, 6)}, (1, 2, 5, 6)),
        ({"box": (0.5, 0.5, 1, 1), "relative": True}, (10, 5, 20, 10)),
        ({"mask": [[2, 3, 8, 3, 8, 7, 2, 7]]}, (2, 3, 8, 7)),
        ({"point": (4.0, 5.0)}, (4, 5, 5, 6)),
        ({}, (0, 0, 20, 10)),
    ],
)
def test_the_box_of_an_example(example, expected, tmp_path):
    assert box_of(Example(tmp_path / "a.png", "bolt", **example), (10, 20)) == pytest.approx(expected, abs=1)
