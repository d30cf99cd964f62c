"""Templates ranked on images, and the file that a model is loaded with."""

import numpy as np
import pytest

import densevl
from densevl.core.errors import UsageError
from densevl.core.vocabulary import templates
from densevl.datasets.scenes import render

CLASSES = "red circle, blue square, grass"


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", templates="tcl", device="cpu")


def test_a_file_of_rankings_makes_a_model_of_experts(model, tmp_path):
    images = [render(5, index, (64, 96), count=(3, 4)).image for index in range(2)]
    rankings = densevl.rank_templates(model, images, CLASSES)
    assert rankings.model_id == model.segmentor.encoder.model_id
    assert rankings.templates == "tcl"
    assert all(set(found) == set(templates("tcl")) for found in rankings.classes.values())
    rankings.save(tmp_path / "rankings.json")
    classifier = {"type": "floss", "rankings": str(tmp_path / "rankings.json"), "count": 2}
    better = densevl.load("mini-maskclip", templates="tcl", classifier=classifier, device="cpu")
    labels = better.segment(images[0], CLASSES).labels
    assert labels.shape == (64, 96)
    assert rankings.digest in better.segmentor.protocol["classifier"]
    with pytest.raises(UsageError, match="no ranking of dog"):
        better.segment(images[0], "red circle, dog")


def test_what_cannot_be_ranked_is_one_error(model):
    with pytest.raises(UsageError, match="no image to rank templates on"):
        densevl.rank_templates(model, [], CLASSES)
    with pytest.raises(UsageError, match="one alone"):
        densevl.rank_templates(densevl.load("mini-maskclip", device="cpu"), [np.zeros((8, 8, 3), np.uint8)], CLASSES)
    floss = densevl.load("mini-maskclip", templates="tcl", classifier="floss", device="cpu")
    with pytest.raises(UsageError, match="rankings of the templates"):
        floss.segment(np.zeros((64, 64, 3), np.uint8), CLASSES)
