"""The four questions: features that hold the answers answer them, and blind answers do not."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.training.probing.primitives import PRIMITIVES, chance, probe_primitives, split_images
from densevl.training.probing.targets import KnownImage, targets_of


def some(count):
    """Images of one or two things of two classes, each in a cell of a grid of 2×2, and a map of them."""
    rng, images, grids = torch.Generator().manual_seed(0), [], torch.zeros(count, 2, 2, 2)
    for number in range(count):
        places = torch.randperm(4, generator=rng)[: 1 + number % 2]
        labels = torch.randint(2, (len(places),), generator=rng)
        corners = torch.stack([places % 2, places // 2], 1) / 2
        images.append(KnownImage(torch.cat([corners + 0.1, corners + 0.35], 1), labels))
        for place, label in zip(places.tolist(), labels.tolist(), strict=True):
            grids[number, label, place // 2, place % 2] = 1.0
    return targets_of(images, 2, 2), grids


def test_features_that_hold_the_answers_beat_chance():
    targets, grids = some(300)
    split = split_images(300)
    assert len(split.trained) == 180
    assert not set(split.trained.tolist()) & set(split.judged.tolist())
    found, blind = probe_primitives(grids, targets, split), chance(targets, split)
    assert list(found) == list(blind) == list(PRIMITIVES)
    assert found["presence"].score > 0.95
    assert found["localisation"].score == pytest.approx(1.0)
    assert found["localisation"].further["F1"] == pytest.approx(1.0)
    assert found["count"].score == pytest.approx(1.0)
    assert found["free space"].score > 0.9
    for name in PRIMITIVES:
        assert found[name].score > blind[name].score + 0.1
    share = targets.localisation[split.judged].float().mean()
    assert blind["localisation"].further["F1"] == pytest.approx(float(2 * share / (1 + share)))


def test_too_few_images():
    with pytest.raises(UsageError, match="none to train or none to judge"):
        split_images(1)
