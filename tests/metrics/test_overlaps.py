import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.metrics.overlaps import DEEPEST, Answer, mask_overlap, measure


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=6))
def test_masks_overlap_as_their_pixels_do(pairs):
    one, other = (np.array([pair[i] for pair in pairs]).reshape(2, 3) for i in (0, 1))
    shared, union = sum(a and b for a, b in pairs), sum(a or b for a, b in pairs)
    assert mask_overlap(one, other) == (shared, union)


BOX = (0.0, 0.0, 4.0, 4.0)
TRUE = np.zeros((8, 8), bool)
TRUE[:4, :4] = True


def test_an_outcome():
    boxes = np.array([[4, 4, 8, 8], [0, 0, 4, 4], [0, 0, 4, 2]], np.float64)
    mask = np.zeros((8, 8), bool)
    mask[2:6, 0:4] = True
    found = measure(Answer(boxes, mask), BOX, TRUE, "extreme")
    assert found.ranked == (0.0, 1.0, 0.5)
    assert (found.best, found.proposals, found.above, found.at_least) == (1.0, 3, 1 / 3, 2 / 3)
    assert (found.overlap, found.kind) == ((8, 24), "extreme")
    assert measure(Answer(boxes, mask), BOX).overlap is None
    assert measure(Answer(boxes), BOX, TRUE).overlap == (0, 16)
    assert len(measure(Answer(np.tile(boxes, (9, 1))), BOX).ranked) == DEEPEST


def test_no_answer_overlaps_with_nothing():
    found = measure(Answer(np.zeros((0, 4)), reason="no proposals"), BOX, TRUE)
    assert (found.ranked, found.best, found.overlap, found.reason) == ((), 0.0, (0, 16), "no proposals")
