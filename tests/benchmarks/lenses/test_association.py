"""Attributes that swap owners, in scenes and in hard negatives."""

import json

import numpy as np
import pytest

from densevl.benchmarks.lenses.association import Association
from densevl.benchmarks.lenses.run import examine
from densevl.benchmarks.lenses.source import Source
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import UsageError
from densevl.datasets.scenes.scene import COLOURS
from densevl.datasets.scenes.unlike import unlike_things
from densevl.metrics.association import OTHER, OWN, REST

LENS = Association()


def test_two_things_are_asked_for_their_colours(mini):
    images = LENS.gather(mini, Source(scenes=2, seed=101))
    first, second = unlike_things(101, 0, 2).objects
    assert images[0].options[0] == [f"{colour} {first.shape}" for colour in COLOURS]
    kinds = dict(zip(COLOURS, images[0].kinds[0], strict=True))
    assert (kinds[first.colour], kinds[second.colour]) == (OWN, OTHER)
    assert sorted(images[0].kinds[0]) == [OWN, OTHER, *[REST] * 6]
    assert dict(zip(COLOURS, images[0].kinds[1], strict=True))[second.colour] == OWN


def test_regions_are_less_biased_than_whole_images(mini, tmp_path):
    found = examine(mini, [LENS], Source(scenes=3, seed=101), tmp_path).findings["association"]
    assert found.values["regions"]["bias"] < found.values["image"]["bias"]
    assert found.values["regions"]["right"] > found.values["image"]["right"]
    assert json.loads((tmp_path / "check.json").read_text())["lenses"]["association"] == found.values
    assert len(found.lines) == len(found.tables[0].rows) == 3
    assert (tmp_path / "page/association/shares.png").is_file()


@pytest.fixture
def negatives(tmp_path):
    """A scene as FG-OVD would annotate it: true captions, and negatives of them."""
    scene = unlike_things(101, 0, 2)
    first, second = scene.objects
    free = next(colour for colour in COLOURS if colour not in (first.colour, second.colour))
    texts = [f"A {first.name}", f"A {second.colour} {first.shape}", f"A {free} {first.shape}", f"A {second.name}"]
    boxes = [[a, b, c - a, d - b] for a, b, c, d in (first.box, second.box)]
    annotations = [
        {"image_id": 1, "bbox": boxes[0], "category_id": 0, "neg_category_ids": [1, 2]},
        {"image_id": 1, "bbox": boxes[1], "category_id": 3, "neg_category_ids": []},
    ]
    data = {
        "images": [{"id": 1, "height": 128, "width": 128, "file_name": "val/scene.png"}],
        "annotations": annotations,
        "categories": [{"id": index, "name": text} for index, text in enumerate(texts)],
    }
    (tmp_path / "captions.json").write_text(json.dumps(data))
    write_image(tmp_path / "images" / "scene.png", scene.image)
    return tmp_path


@pytest.mark.parametrize("place", ["", "captions.json"])
def test_hard_negatives_that_say_what_is_true_of_another_thing(mini, negatives, place):
    (image,) = LENS.gather(mini, Source(negatives / place))
    scene = unlike_things(101, 0, 2)
    assert image.kinds == [[OWN, REST, REST]]  # a region without negatives is not annotated with its caption
    assert image.options[0][0] == f"A {scene.objects[0].name}"
    assert np.array_equal(image.read(), scene.image)
    assert image.place((128, 128)).boxes.tolist() == [list(scene.objects[0].box)]


def test_the_real_hard_negatives(mini, shared):
    images = LENS.gather(mini, Source(shared / "data/fgovd"))
    kinds = np.concatenate([np.ravel(own) for image in images for own in image.kinds])
    assert (kinds == OWN).sum() == sum(len(image.options) for image in images) == 53
    assert 0 < (kinds == OTHER).sum() < (kinds == REST).sum()


def test_the_images_of_a_folder_are_looked_at_to_say_whether_they_are_known(shared):
    images = Source(shared / "data/fgovd").some_images(2)
    assert len(images) == 2
    assert all(image.shape[2] == 3 for image in images)


def test_files_without_hard_negatives_are_refused(mini, shared, negatives):
    with pytest.raises(UsageError, match="needs hard negatives, the neg_category_ids of FG-OVD"):
        LENS.gather(mini, Source(shared / "data/coco/annotations/instances_val2017.json"))
    (negatives / "images/scene.png").unlink()
    with pytest.raises(UsageError, match="give --images FOLDER"):
        LENS.gather(mini, Source(negatives))
