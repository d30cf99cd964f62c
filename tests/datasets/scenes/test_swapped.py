"""Pairs of scenes that the same words describe."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes.swapped import SWAPS, swapped_scenes


@pytest.mark.parametrize("swap", SWAPS)
def test_captions_are_true_of_their_own_scene_alone(swap):
    for index in range(6):
        pair = swapped_scenes(swap, 0, index, 64)
        names = [{item.name for item in scene.objects} for scene in pair.scenes]
        for own, phrases, caption in zip(names, pair.phrases, pair.captions, strict=True):
            assert own == set(phrases)
            assert all(phrase in caption for phrase in phrases)
        assert sorted(pair.captions[0].split()) == sorted(pair.captions[1].split())
        assert (names[0] == names[1]) == (swap == "places")
        first, second = ({item.name: item.centre for item in scene.objects} for scene in pair.scenes)
        if swap == "places":
            axis = 1 if "above" in pair.captions[0] else 0
            assert first[pair.phrases[0][0]][axis] < first[pair.phrases[0][1]][axis]
            assert second[pair.phrases[1][0]][axis] < second[pair.phrases[1][1]][axis]
        places = [sorted(one.centre for one in scene.objects) for scene in pair.scenes]
        assert places[0] == places[1]


def test_they_are_the_same_for_ever_and_differ_by_the_swap_alone():
    pair, again = (swapped_scenes("colours", 1, 2, 64) for _ in range(2))
    assert np.array_equal(pair.scenes[1].image, again.scenes[1].image)
    differs = (pair.scenes[0].image != pair.scenes[1].image).any(2)
    ground = (pair.scenes[0].instances == 0) & (pair.scenes[1].instances == 0)
    assert (differs & ground).mean() < 0.05  # anti-aliased edges
    assert np.array_equal(pair.scenes[0].instances, pair.scenes[1].instances)


def test_an_unknown_swap_is_refused():
    with pytest.raises(UsageError, match="swap 'colour' is unknown; did you mean colours"):
        swapped_scenes("colour", 0, 0)
