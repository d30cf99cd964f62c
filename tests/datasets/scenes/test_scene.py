"""Rendered scenes: the same for ever, labelled exactly, and without the held-out pairs in training."""

import json
from importlib.resources import files

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes import CLASSES, COLOURS, GROUNDS, HELD_OUT, SHAPES, render
from densevl.datasets.scenes.scene import ALL_CLASSES, CROWDED
from densevl.datasets.scenes.shapes import warped_distance


def test_same_numbers_same_picture():
    first, again = render(3, 5, 96), render(3, 5, 96)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    for other in (render(3, 6, 96), render(4, 5, 96), render(3, 5, 96, split="val")):
        assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("index", range(6))
def test_labels_are_the_topmost_shape_pixel_by_pixel(index):
    scene = render(1, index, (48, 80), split="val")
    top = np.zeros((48, 80), int)
    for number, item in enumerate(scene.objects, 1):
        for y in range(48):
            for x in range(0, 80, 7):
                inside = warped_distance(item.shape, item.centre, item.radius, item.angle, (x, y, x + 1, y + 1))
                if inside[0, 0] > 0:
                    top[y, x] = number
    assert np.array_equal(top[:, ::7], scene.instances[:, ::7])
    for number, item in enumerate(scene.objects, 1):
        assert np.array_equal(item.mask, scene.instances == number)
        assert (scene.labels[item.mask] == CLASSES.index(item.name)).all()
        rows, columns = np.nonzero(item.mask)
        assert item.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert item.visible >= 0.6
    assert set(scene.labels[scene.instances == 0]) == {CLASSES.index(ground) for ground in scene.grounds}


def test_the_picture_shows_the_colour_of_each_object():
    right = []
    for index in range(20):
        scene = render(2, index, split="val")
        for item in scene.objects:
            median = np.median(scene.image[item.mask], 0)
            assert np.abs(np.array(COLOURS[item.colour]) - median).max() < 75
            nearest = min(COLOURS, key=lambda colour: np.abs(np.array(COLOURS[colour]) - median).sum())
            right.append(nearest == item.colour)
    assert np.mean(right) > 0.95


def test_held_out_pairs_never_occur_in_training_but_in_validation(training_scenes, validation_scenes):
    assert len(HELD_OUT) >= 8
    assert {colour for colour, _ in HELD_OUT} == set(COLOURS)
    assert {shape for _, shape in HELD_OUT} == set(SHAPES)
    trained, tested = (
        np.mean([(item.colour, item.shape) in HELD_OUT for scene in scenes for item in scene.objects])
        for scenes in (training_scenes, validation_scenes)
    )
    assert trained == 0
    assert tested == pytest.approx(len(HELD_OUT) / 64, abs=0.06)


def test_scenes_vary(training_scenes):
    scenes = training_scenes
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3, 4, 5}
    assert {len(scene.grounds) for scene in scenes} == {1, 2}
    assert {ground for scene in scenes for ground in scene.grounds} == set(GROUNDS)
    assert any(item.visible < 0.97 for scene in scenes for item in scene.objects), "nothing is ever occluded"


def test_zoom_enlarges_the_objects():
    near, far = (
        np.mean([item.radius for i in range(40) for item in render(0, i, 32, count=(1, 1), zoom=zoom).objects])
        for zoom in (2, 1)
    )
    assert near == pytest.approx(2 * far, rel=0.15)


def test_the_shipped_vocabulary_is_the_class_list():
    content = json.loads((files("densevl") / "data" / "vocabularies" / "scenes.json").read_text(encoding="utf-8"))
    assert [name for (name,) in content["classes"]] == list(CLASSES)
    assert len({tuple(colour) for colour in content["palette"]}) == len(CLASSES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 4}, "at least 16"),
        ({"count": (3, 1)}, "least"),
        ({"zoom": 0.0}, "positive zoom"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        render(0, 0, **{"size": 32, **arguments})


def test_given_things_are_all_in_the_scene():
    things = [("red", "circle"), ("pink", "star"), ("blue", "bolt")]
    scene = render(5, 0, 96, things=things)
    assert [(item.colour, item.shape) for item in scene.objects] == things
    for item in scene.objects:
        assert ALL_CLASSES[scene.labels[item.mask][0]] == item.name
    assert ALL_CLASSES[: len(CLASSES)] == CLASSES
    assert len(set(ALL_CLASSES)) == 6 + 13 * 10
    assert np.array_equal(render(5, 0, 96, things=things).image, scene.image)


def test_things_that_cannot_be_drawn():
    with pytest.raises(UsageError, match="'plaid'"):
        render(5, 0, 96, things=[("red", "circle"), ("plaid", "star")])
    with pytest.raises(UsageError, match="no room for 20 objects"):
        render(5, 0, 32, things=[("red", "circle")] * 20)


def test_crowded_scenes_say_how_much_is_hidden_and_cut():
    items = [item for index in range(12) for item in render(6, index, 96, "val", (3, 6), layout=CROWDED).objects]
    assert min(item.visible for item in items) < 0.6
    assert min(item.uncut for item in items) < 0.6
    for item in items:
        reach = round(1.28 * item.radius) + 2
        x, y = round(item.centre[0]), round(item.centre[1])
        window = (x - reach, y - reach, x + reach, y + reach)
        inside = warped_distance(item.shape, item.centre, item.radius, item.angle, window) > 0
        rows, columns = np.nonzero(inside)
        own = (
            (rows + y - reach >= 0) & (rows + y - reach < 96) & (columns + x - reach >= 0) & (columns + x - reach < 96)
        )
        assert item.uncut == pytest.approx(own.mean(), abs=0.01)
        assert item.visible == pytest.approx(item.mask.sum() / own.sum(), abs=0.02)


def test_tidy_scenes_are_never_cut():
    assert all(item.uncut == 1 for index in range(5) for item in render(6, index, 96).objects)
