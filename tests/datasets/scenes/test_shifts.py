"""Shifted scenes: the same truth under another image, the same for ever."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes import CLASSES, COLOURS, render
from densevl.datasets.scenes.scene import NEW_CLASSES, NEW_COLOURS
from densevl.datasets.scenes.shifts import NOISE, SHIFTS, shifted_scene

SEED, INDEX = 5, 3


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_truth_stays_and_the_picture_is_the_same_for_ever(shift):
    scene, again = shifted_scene(shift, SEED, INDEX), shifted_scene(shift, SEED, INDEX)
    plain = render(SEED, INDEX, split="val", new_colours=shift == "new colours")
    assert (scene.image == again.image).all()
    assert (scene.labels == plain.labels).all()
    assert scene.image.dtype == np.uint8
    assert (scene.image == plain.image).all() == (shift in ("clean", "new colours"))


def test_each_shift_does_what_it_says():
    plain = shifted_scene("clean", SEED, INDEX).image.astype(float)
    noisy, blurred, grey = (shifted_scene(name, SEED, INDEX).image.astype(float) for name in ("noise", "blur", "grey"))
    middle = (plain > 100) & (plain < 156)  # where little of the noise is cut off
    assert (noisy - plain)[middle].std() == pytest.approx(NOISE, rel=0.1)
    assert np.abs(np.diff(blurred, axis=1)).mean() < np.abs(np.diff(plain, axis=1)).mean() / 2
    assert (np.ptp(grey, axis=2) == 0).all()


def test_new_colours_are_not_among_the_known_ones():
    scenes = [shifted_scene("new colours", SEED, index) for index in range(10)]
    names = {item.name for scene in scenes for item in scene.objects}
    assert names <= set(NEW_CLASSES)
    assert not names & set(CLASSES)
    assert not set(COLOURS) & set(NEW_COLOURS)
    for scene in scenes:
        for item in scene.objects:
            assert (scene.labels[item.mask] == NEW_CLASSES.index(item.name)).all()
            seen = np.median(scene.image[item.mask], axis=0)
            assert np.abs(seen - NEW_COLOURS[item.colour]).max() < 60


def test_an_unknown_shift():
    with pytest.raises(UsageError, match="shift 'fog' is unknown"):
        shifted_scene("fog", SEED, INDEX)
