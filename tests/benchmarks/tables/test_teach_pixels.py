"""Masks that are drawn to teach by, and the rule of the streets."""

import cv2
import numpy as np
import pytest
import torch
from toys.clip import tiny_clip

from densevl.benchmarks.tables import measure
from densevl.benchmarks.tables.teach_pixels import Street, draw_masks, measure_street, streets
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes.scene import NEW_CLASSES
from densevl.datasets.scenes.shifts import shifted_scene
from densevl.dense.stack import FeatureStack

ROAD, CAR, RIDER = 0, 13, 12
RAW = {ROAD: 7, CAR: 26, RIDER: 25, 255: 1}


@pytest.fixture(scope="module")
def scenes():
    return [shifted_scene("new colours", 5, index, 64, "train") for index in range(5)]


def test_masks_are_those_of_their_classes_and_no_more_than_asked_for(scenes):
    drawn = draw_masks(scenes, 2, seed=1)
    by_image = {scene.image.tobytes(): scene for scene in scenes}
    counts = torch.zeros(len(NEW_CLASSES), dtype=torch.long)
    for image in drawn:
        truth = torch.from_numpy(by_image[image.image.tobytes()].labels)
        for mask, label in zip(image.masks, image.labels.tolist(), strict=True):
            assert (truth[mask] == label).all()
            counts[label] += 1
    shown = {name for scene in scenes for name in scene.names}
    assert counts.max() == 2
    assert {NEW_CLASSES[label] for label in counts.nonzero().flatten().tolist()} == shown


def test_masks_are_drawn_by_seed(scenes):
    first, again, other = (draw_masks(scenes, 1, seed) for seed in (0, 0, 1))
    assert [one.labels.tolist() for one in first] == [one.labels.tolist() for one in again]
    assert [one.image.tobytes() for one in first] != [one.image.tobytes() for one in other]


def street(seed, classes):
    """Stripes of classes, each in a colour of its own."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.repeat(np.array([classes], np.uint8), 32, 0), 64 // len(classes), 1)
    colours = {ROAD: (150, 20, 20), CAR: (20, 150, 20), RIDER: (20, 20, 150), 255: (90, 90, 90)}
    image = np.array([colours[label] for label in truth.ravel().tolist()], np.uint8).reshape(*truth.shape, 3)
    return Street(image + rng.integers(0, 60, image.shape).astype(np.uint8), truth)


def write(street, folder, name):
    for part in ("leftImg8bit", "gtFine"):
        (folder / part / "val" / "town").mkdir(parents=True, exist_ok=True)
    lookup = np.array([RAW.get(label, 0) for label in range(256)], np.uint8)
    cv2.imwrite(str(folder / f"leftImg8bit/val/town/{name}_leftImg8bit.png"), street.image[..., ::-1])
    cv2.imwrite(str(folder / f"gtFine/val/town/{name}_gtFine_labelIds.png"), lookup[street.truth])


def test_streets_are_read_with_the_classes_of_the_evaluation(tmp_path):
    pair = [street(0, [ROAD, CAR, 255, ROAD]), street(1, [ROAD, RIDER, CAR, ROAD])]
    for number, one in enumerate(pair):
        write(one, tmp_path, f"town_{number}")
    for one, found in zip(pair, streets(tmp_path), strict=True):
        assert np.array_equal(one.image, found.image)
        assert np.array_equal(one.truth, found.truth)
    assert pair[0].present == [ROAD, CAR]


def test_one_picture_is_not_enough(tmp_path):
    write(street(0, [ROAD, CAR]), tmp_path, "town_0")
    with pytest.raises(UsageError, match="holds 1"):
        streets(tmp_path)


def test_classes_that_cannot_be_taught_count_as_zero():
    names, stack = Vocabulary.load("cityscapes").names, [FeatureStack(("features",), 4, 32)]
    encoder = tiny_clip().float()
    teaching, alike = street(0, [ROAD, CAR, ROAD, CAR]), street(1, [CAR, ROAD, CAR, ROAD])
    known = measure_street(encoder, teaching, alike, names, stack)
    assert known.miou > 70
    with_rider = street(2, [CAR, ROAD, RIDER, 255])
    found = measure_street(encoder, teaching, with_rider, names, stack)
    assert found.miou < 2 / 3 * 100
    assert 0 < found.right < 100 * 2 / 3 + 1e-6
    assert found.milliseconds > 0


def test_pictures_belong_to_tables_that_measure_on_them(tmp_path):
    with pytest.raises(UsageError, match=r"data: pictures are measured by .*teach-pixels; got .* for search"):
        measure("search", 5, data=tmp_path)
    with pytest.raises(UsageError, match="labelIds"):
        measure("teach-pixels", 5, data=tmp_path)
