"""Images in which unknown colours occur a given number of times."""

from collections import Counter

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.datasets.scenes.counted import UNKNOWN_COLOURS, CountedPlan, draw_counted
from densevl.datasets.scenes.scene import COLOURS, HELD_OUT

LEVELS = (0, 1, 2, 3, 9)


def test_each_colour_is_shown_as_often_as_planned():
    plan = CountedPlan.of_seed(5, LEVELS, 4, known=6)
    images = draw_counted(plan, 5)
    assert len(images) == sum(LEVELS) + 6
    shown = Counter(
        word for _, text in images for word in {thing[0].split()[0] for thing in text.things} if word not in COLOURS
    )
    assert {colour: shown[colour] for colour in UNKNOWN_COLOURS} == dict(plan.counts)
    pairs = Counter(thing[0] for _, text in images for thing in text.things)
    assert {name: pairs[name] for name in map(" ".join, plan.pairs)} == dict(
        zip(map(" ".join, plan.pairs), plan.pairs.values(), strict=True)
    )
    assert not any(pairs[f"{colour} {shape}"] for colour, shape in HELD_OUT)
    assert torch.equal(images[0][0], draw_counted(plan, 5)[0][0])


def test_a_colour_has_each_level_once_over_the_seeds():
    plans = [CountedPlan.of_seed(seed, LEVELS, 4, 0) for seed in range(len(LEVELS))]
    for colour in UNKNOWN_COLOURS:
        assert sorted(plan.counts[colour] for plan in plans) == sorted(LEVELS)


def test_a_plan_that_cannot_be():
    with pytest.raises(UsageError, match="5 levels and 1 to 8 shapes; got 2 and 9"):
        CountedPlan.of_seed(0, (1, 2), 9, 0)
