import pytest

from densevl.benchmarks.speed.regions import benchmark
from densevl.core.errors import UsageError


def test_every_way_is_timed_for_every_number_of_regions():
    timings = benchmark("mini-clip", counts=(1, 12), image_size=(48, 64), repetitions=1)
    assert [timing.name for timing in timings] == ["prompter", "mask pooling", "marks: crop", "marks: crop, blur_mask"]
    assert all(list(timing.seconds) == [1, 12] for timing in timings)
    assert all(second > 0 for timing in timings for second in timing.seconds.values())
    prompter, *_, marks = timings
    assert marks.seconds[12] > prompter.seconds[12], "24 passes of the ViT against one"
    assert str(marks).startswith("marks: crop, blur_mask")
    assert str(marks).count(" ms") == 2


@pytest.mark.parametrize("wrong", [{"counts": (0, 1)}, {"repetitions": 0}])
def test_what_cannot_be_timed(wrong):
    with pytest.raises(UsageError, match="must be at least 1"):
        benchmark("mini-clip", **wrong)
