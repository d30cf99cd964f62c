"""The vector of a sequence: of unit length, steps of gaps worked out by hand, and order that counts."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.tasks.sequences.describing import CHANGES, PARTS, STEPS, describe, over_time
from densevl.tasks.sequences.things import FrameThings

LOOKS = 4


def frame(gap, count=None):
    count = count if count is not None else (1 if gap is None else 2)
    return FrameThings(torch.eye(LOOKS)[: max(count, 1)], count, gap)


@pytest.mark.parametrize("gaps", [[1.0], [2.0, 0.1], [None, 0.4, 0.2, 9.0, 0.0], [None] * 3])
def test_sequences_of_any_length_are_unit_vectors_of_one_length(gaps):
    found = describe([frame(gap) for gap in gaps])
    assert found.shape == (PARTS * (len(STEPS) + 2) + len(STEPS) + 2 + PARTS * len(CHANGES) + 2 * LOOKS,)
    assert found.norm() == pytest.approx(1)
    assert found.isfinite().all()


def test_a_gap_is_shared_between_two_steps():
    halfway = (STEPS[3] + STEPS[4]) / 2
    near = describe([frame(halfway)])[: len(STEPS) + 2]
    shares = near / near.sum()
    assert shares[2 + 3 : 2 + 5].tolist() == pytest.approx([0.5, 0.5])
    beyond = describe([frame(100.0)])[: len(STEPS) + 2]
    assert beyond.nonzero().flatten().tolist() == [1 + len(STEPS)]
    states = [describe([frame(None, count)])[: len(STEPS) + 2].nonzero().flatten().tolist() for count in (0, 1)]
    assert states == [[0], [1]]


def test_the_order_of_the_frames_counts():
    gaps = [3.0, 2.0, 1.0, 0.5]
    coming, going = describe([frame(gap) for gap in gaps]), describe([frame(gap) for gap in gaps[::-1]])
    assert float(coming @ going) < 0.8
    slow = describe([frame(gap) for gap in gaps for _ in range(2)])  # twice as many frames of the same
    assert float(coming @ slow) > 0.9


def test_means_over_parts_count_a_frame_by_its_time():
    values = torch.tensor([[1.0], [2.0], [3.0]])
    assert over_time(values).flatten().tolist() == pytest.approx([1, (1 + 2 * 2) / 3, (2 * 2 + 3) / 3, 3])
    assert over_time(values[:1]).flatten().tolist() == [1.0] * PARTS


def test_no_frame_is_no_sequence():
    with pytest.raises(UsageError, match="one frame or more"):
        describe([])
