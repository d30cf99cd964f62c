import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.masks import mask_of
from densevl.datasets.referring.annotations import Reference
from densevl.metrics.overlaps import DEEPEST, Answer, box_ious, mask_overlap, measure

SIDE = 9
corners = st.tuples(*[st.integers(0, SIDE - 1)] * 2, *[st.integers(1, SIDE)] * 2).map(
    lambda c: (c[0], c[1], min(SIDE, c[0] + c[2]), min(SIDE, c[1] + c[3]))
)


def pixels(box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@settings(deadline=None, max_examples=50)
@given(st.lists(corners, max_size=5), corners)
def test_boxes_overlap_as_their_pixels_do(boxes, target):
    expected = [len(pixels(b) & pixels(target)) / len(pixels(b) | pixels(target)) for b in boxes]
    assert box_ious(boxes, target) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=6))
def test_masks_overlap_as_their_pixels_do(pairs):
    one, other = (np.array([pair[i] for pair in pairs]).reshape(2, 3) for i in (0, 1))
    shared, union = sum(a and b for a, b in pairs), sum(a or b for a, b in pairs)
    assert mask_overlap(one, other) == (shared, union)


def test_an_outcome():
    ref = Reference(0, 0, (0.0, 0.0, 4.0, 4.0), ("it",), mask_of([[0, 0, 4, 0, 4, 4, 0, 4]], (8, 8)), "extreme")
    boxes = np.array([[4, 4, 8, 8], [0, 0, 4, 4], [0, 0, 4, 2]], np.float64)
    mask = np.zeros((8, 8), bool)
    mask[2:6, 0:4] = True
    found = measure(Answer(boxes, mask), ref, masks=True)
    assert found.ranked == (0.0, 1.0, 0.5)
    assert (found.best, found.proposals, found.above, found.at_least) == (1.0, 3, 1 / 3, 2 / 3)
    assert (found.overlap, found.kind) == ((8, 24), "extreme")
    assert measure(Answer(boxes, mask), ref, masks=False).overlap is None
    assert measure(Answer(boxes), ref, masks=True).overlap == (0, 16)
    assert len(measure(Answer(np.tile(boxes, (9, 1))), ref, masks=False).ranked) == DEEPEST


def test_no_answer_overlaps_with_nothing():
    ref = Reference(0, 0, (0.0, 0.0, 4.0, 4.0), ("it",), mask_of([[0, 0, 4, 0, 4, 4, 0, 4]], (8, 8)))
    found = measure(Answer(np.zeros((0, 4)), reason="no proposals"), ref, masks=True)
    assert (found.ranked, found.best, found.overlap, found.reason) == ((), 0.0, (0, 16), "no proposals")
