"""Choices of texts by whole images, regions and pixels."""

import numpy as np
import pytest
import torch

from densevl.benchmarks.lenses.choosing import choose_by, of_scene, refuse_taught, ways_of
from densevl.benchmarks.lenses.subject import Subject
from densevl.classifiers.classes import Classes, Head
from densevl.classifiers.contracts import LinearClassifier
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes.unlike import unlike_things


@pytest.fixture(scope="module")
def image():
    """Two things, which choose between their name and two others, in another order each."""
    scene = unlike_things(101, 0, 2)
    first, second = (item.name for item in scene.objects)
    return of_scene(scene, [[first, second, "green grass"], ["sand", second]], [[0, 1, 2], [2, 0]])


@pytest.mark.parametrize("way", ["regions", "pixels"])
def test_things_choose_their_names(mini, image, way):
    chosen, kinds = choose_by(way, mini, [image, image])
    assert chosen.tolist() == [0, 1, 0, 1]
    assert kinds.tolist() == [[0, 1, 2], [2, 0, -1]] * 2


def test_a_whole_image_has_one_vector_for_all_its_things(mini, image):
    chosen, _ = choose_by("image", mini, [image])
    vector = mini.wholes([image.read()])[0]
    for answer, options in zip(chosen, image.options, strict=True):
        assert answer == int((mini.texts(options) @ vector).argmax())


def test_every_way_that_a_model_has(mini):
    assert ways_of(mini) == ("image", "regions", "pixels")


def test_texts_that_are_too_long_lose_their_last_words(mini, image):
    long = " ".join(["a red circle"] * 60)
    other = of_scene(unlike_things(101, 1, 1), [[long, "sand"]], [[0, 1]])
    assert choose_by("regions", mini, [other])[0].shape == (1,)


def test_taught_classes_are_refused(mini):
    refuse_taught("cues", mini)
    words = Vocabulary.from_classes(["gear", "gadget"])
    linear = LinearClassifier(torch.zeros(2, 4), torch.zeros(2), words, "tiny@1", "regions: test")
    with pytest.raises(UsageError, match="the lens 'cues' asks by texts of its own"):
        refuse_taught("cues", Subject(mini.model, Classes(words, {"regions": Head(linear, 4)})))


def test_pixels_of_regions_without_masks_are_those_of_boxes(mini, image):
    bare = type(image)(image.read, lambda size: image.place(size).with_masks(None), image.options, image.kinds)
    assert np.array_equal(choose_by("pixels", mini, [bare])[0], [0, 1])
