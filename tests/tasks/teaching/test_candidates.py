"""The table of feature stacks."""

from toys.clip import tiny_clip

from densevl.core.files import read_json
from densevl.dense.stack import FeatureStack
from densevl.tasks.teaching.candidates import FILE, candidate_stacks


def test_rows_follow_the_encoder():
    found = candidate_stacks(tiny_clip(), "plus", "drop")
    assert [stack.short_side for stack in found] == [16, 32, 64]
    for stack in found:
        assert stack.maps == ("blocks.0", "features")  # of two blocks the second is the last
        assert (stack.stride, stack.window, stack.window_stride) == (8, 16, 12)
        assert (stack.positions, stack.border) == ("plus", "drop")


def test_rows_of_the_photo_model_can_be_read():
    rows = read_json(FILE)["efficientnet-lite0"]
    assert [FeatureStack(**row).short_side for row in rows] == [384, 512, 768]
