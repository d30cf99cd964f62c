"""Drawn sequences: each kind is true of its gaps, and frames share their ground and things."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes.sequences import KINDS, draw_sequence


@pytest.fixture(scope="module")
def sequences():
    """One of each kind."""
    return [draw_sequence(5, index, frames=6, size=64) for index in range(len(KINDS))]


def test_the_kinds_come_in_turn_and_are_true_of_the_gaps(sequences):
    assert [one.kind for one in sequences] == list(KINDS)
    collision, near, passing, parting, steady = (np.array(one.gaps) for one in sequences)
    assert collision[0] > 0.6
    assert collision[-1] == 0
    assert 0.15 <= near.min() <= 0.7
    assert near.min() < near[0] - 0.5
    assert passing.min() >= 1.1
    assert parting.argmin() == 0
    assert parting[-1] > parting[0] + 0.5
    assert np.ptp(steady) <= 0.15


def test_gaps_are_those_of_the_masks(sequences):
    for one in sequences:
        for scene, gap in zip(one.scenes, one.gaps, strict=True):
            first, second = (np.argwhere(item.mask) for item in scene.objects)
            nearest = np.sqrt(((first[:, None] - second[None]) ** 2).sum(-1).min())
            radius = np.mean([item.radius for item in scene.objects])
            assert gap == pytest.approx(max(nearest - 1, 0) / radius, abs=0.12)  # masks hide each other where they meet


def test_the_same_things_move_on_the_same_ground(sequences):
    for one in sequences:
        assert len({tuple(item.name for item in scene.objects) for scene in one.scenes}) == 1
        assert len({scene.image.shape for scene in one.scenes}) == 1
        bare = np.logical_and.reduce([scene.instances == 0 for scene in one.scenes])
        labels = np.stack([scene.labels[bare] for scene in one.scenes])
        assert (labels == labels[0]).all()


def test_a_seed_draws_the_same_frames_for_ever():
    first, second = (draw_sequence(3, 1, frames=3, size=(64, 80)) for _ in range(2))
    assert first.gaps == second.gaps
    assert all((a == b).all() for a, b in zip(first.frames, second.frames, strict=True))
    assert first.frames[0].shape == (64, 80, 3)
    assert draw_sequence(4, 1, frames=3, size=(64, 80)).gaps != first.gaps
    assert draw_sequence(3, 1, frames=3, size=64, kind="pass").kind == "pass"


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"kind": "near"}, "near miss"), ({"frames": 2}, "3 frames or more"), ({"size": 32}, "at least 64")],
)
def test_what_cannot_be_drawn_is_said(settings, said):
    with pytest.raises(UsageError, match=said):
        draw_sequence(0, 0, **settings)
