"""Evidence of teaching: boxes of examples, and doubts of those that are held out."""

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.contracts import Examples
from densevl.classifiers.folds import fold_numbers
from densevl.classifiers.sums import Sums
from densevl.classifiers.unknown import Known
from densevl.datasets.examples import Example
from densevl.tasks.teaching.supporting import box_of, held_out_doubts


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


def test_a_held_out_example_is_doubted_by_what_the_others_show():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 2
    vectors = F.normalize(torch.randn(24, 5, generator=draw) + 2 * F.one_hot(labels, 5), dim=1)
    shown = Examples(vectors, labels, "tiny@1", groups=torch.arange(24) // 2)
    doubts, numbers = held_out_doubts(shown, 2), fold_numbers(labels, shown.groups)
    others = numbers != numbers[0]
    known = Known.of(Sums.of(vectors[others], labels[others], 2), 24)
    assert float(doubts[0]) == pytest.approx(float(known.doubts(vectors[:1].double())[0]))
    assert doubts.isfinite().all()


def test_an_example_that_is_never_held_out_has_no_doubt():
    vectors = F.normalize(torch.randn(5, 4), dim=1)
    shown = Examples(vectors, torch.tensor([0, 0, 1, 1, 2]), "tiny@1", groups=torch.arange(5))
    assert held_out_doubts(shown, 3).isinf().tolist() == [False, False, False, False, True]
