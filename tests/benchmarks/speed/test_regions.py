import pytest

from densevl.benchmarks.speed.regions import benchmark_regions
from densevl.core.errors import UsageError


def test_every_embedder_is_timed_for_every_number_of_regions():
    table = benchmark_regions("mini-clip", counts=(1, 12), size=(48, 64), repetitions=1)
    figures = dict(table.rows)
    assert list(figures) == ["prompter", "mask pooling", "visual prompts: crop", "visual prompts: crop, blur_mask"]
    assert table.head == ("regions", "1", "12")
    assert all(len(times) == 2 and min(times) > 0 for times in figures.values())
    assert figures["visual prompts: crop, blur_mask"][1] > figures["prompter"][1], "24 passes of the ViT against one"


@pytest.mark.parametrize("wrong", [{"counts": (0, 1)}, {"repetitions": 0}])
def test_what_cannot_be_timed(wrong):
    with pytest.raises(UsageError, match="must be at least 1"):
        benchmark_regions("mini-clip", **wrong)
