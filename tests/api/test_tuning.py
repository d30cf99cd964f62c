"""Tuning a model: the model stays as it was, and the classes know what was learnt, how, and what was held out."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl.api.tuning_examples import held_out_numbers
from densevl.core.errors import UsageError
from densevl.datasets.examples import read_examples

CROPS = {"type": "marked-images", "visual_prompts": ["crop"], "size": 32, "mode": "keep"}
QUICK = {"steps": 3, "batch": 4}


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-clip", embedder=CROPS)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Five images of 32 pixels, each with a red and a blue half."""
    folder, records = tmp_path_factory.mktemp("halves"), []
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 90, (32, 32, 3))
        pixels[:, :16, 0] += 150
        pixels[:, 16:, 2] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        records += [{"image": f"{number}.png", "name": "red square", "box": [0, 0, 16, 32]}]
        records += [{"image": f"{number}.png", "name": "blue square", "box": [16, 0, 32, 32]}]
    (folder / "examples.json").write_text(json.dumps(records))
    return folder / "examples.json"


@pytest.fixture(scope="module")
def tuned(model, examples, tmp_path_factory):
    """The file of tuned classes, and the classes."""
    classes = model.tune(examples, settings=QUICK, held_out=0.34)
    path = tmp_path_factory.mktemp("tuned") / "classes.safetensors"
    classes.save(path)
    return path, classes


def test_the_model_that_is_tuned_stays_as_it_was(model, examples):
    image = examples.parent / "0.png"
    before = model.embedder.encoder.embed_images(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    model.tune(examples, settings={"steps": 1, "batch": 2})
    after = model.embedder.encoder.embed_images(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(before, after)
    assert image.is_file()


def test_classes_say_how_they_were_tuned_and_what_was_held_out(tuned):
    facts = tuned[1].heads["regions"].facts
    assert facts["method"] == "clip-svd"
    assert facts["settings"]["steps"] == 3
    assert facts["settings"]["optimizer"]["lr"] == 0.01  # what the mini models take
    assert facts["parameters"] == 6912
    assert facts["held_out_images"] == 2
    assert facts["held_out"]["examples"] == 4
    assert facts["taught"][0]["shots"] == {"red square": 6, "blue square": 6}


def test_the_delta_is_small_and_the_file_loads_with_the_model_that_was_tuned(tuned, examples):
    path, classes = tuned
    assert sum(tensor.nbytes for tensor in classes.delta.flat.values()) < 100_000
    model = densevl.load("mini-clip", embedder=CROPS, **{"encoder.delta": path})
    found = model.recognise(examples.parent / "0.png", [[0, 0, 16, 32]], densevl.Classes.load(path))
    assert found.vocabulary.names == ("red square", "blue square")
    own = model.recognise(examples.parent / "0.png", [[0, 0, 16, 32]], classes).probabilities
    torch.testing.assert_close(found.probabilities, own)


def test_vectors_of_the_model_as_it_was_are_refused(model, tuned, examples):
    with pytest.raises(UsageError, match="the classes were made for vectors of"):
        model.recognise(examples.parent / "0.png", [[0, 0, 16, 32]], tuned[1])


def test_a_delta_of_another_model_is_refused(tuned):
    with pytest.raises(UsageError, match=r"the delta was tuned in 'mini-clip@.*load the model that was tuned"):
        densevl.load("mini-clip", weights="random:0", **{"encoder.delta": tuned[0]})


def test_whole_images_are_seen_squashed(model, examples):
    shapes = [{"image": str(examples.parent / f"{n}.png"), "name": ("odd", "even")[n % 2]} for n in range(6)]
    classes = model.tune(shapes, kind="images", settings={**QUICK, "crop": None}, held_out=0)
    assert classes.model["changes"]["embedder"]["visual_prompts"] == ["crop"]
    assert "held_out" not in classes.heads["regions"].facts


def test_pixels_are_tuned_through_dense_features(model, examples):
    classes = model.tune(examples, kind="pixels", settings={"steps": 1, "batch": 2}, held_out=0)
    assert classes.heads["pixels"].classifier.space is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "clip-sdv"}, "method 'clip-sdv' is unknown; did you mean clip-svd"),
        ({"settings": {"optimiser.lr": 1}}, "setting 'optimiser.lr' of tuning is unknown; did you mean optimizer"),
        ({"settings": {"optimizer.lr": 0}}, "optimizer.lr of tuning is a number above 0; got 0"),
        ({"settings": {"tunables.0.rank": 0}}, "rank=0 is no number of singular values to tune: give 1 to 128"),
        ({"settings": {"tunables.3.rank": 1}}, "'tunables.3.rank' of tuning leads nowhere at '3'"),
        ({"settings": {"optimizer.type": "Adagrad"}}, "optimizer.type of tuning is one of SGD, Adam, AdamW"),
        ({"settings": {"schedule": {"type": "steps"}}}, "schedule of tuning is cosine or constant"),
        ({"kind": "boxes"}, "classes are tuned for regions, images, pixels"),
        ({"kind": "images"}, "'red square' and 'blue square'; tune --for regions"),
        ({"held_out": 1.0}, "held_out is the part of the images that is kept out"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_learnt(model, examples, arguments, message, monkeypatch):
    monkeypatch.setattr("densevl.training.tuning.run.SafeRunner.train", None)
    with pytest.raises(UsageError, match=message):
        model.tune(examples, **{"settings": QUICK, **arguments})


def test_one_class_is_refused(model, examples):
    one = [
        {"image": str(examples.parent / "0.png"), "name": "red"},
        {"image": str(examples.parent / "1.png"), "name": "red"},
    ]
    with pytest.raises(UsageError, match="all examples are of 'red', and there is nothing to tell it from"):
        model.tune(one)


def test_images_are_held_out_whole_and_leave_each_class_enough(examples):
    given = read_examples(examples)
    labels = [n % 2 for n in range(12)]
    out = held_out_numbers(given, labels, 0.9, seed=0)
    assert len(out) == 4  # two images, since four of each class stay
    assert {given[number].image for number in out}.isdisjoint(
        given[number].image for number in range(12) if number not in out
    )
    assert held_out_numbers(given, labels, 0.0, seed=0) == ()
    assert held_out_numbers(given[:8], labels[:8], 0.5, seed=0) == ()


def test_resuming_a_run_of_something_else_is_refused(model, examples, tmp_path):
    model.tune(examples, settings=QUICK, work_dir=tmp_path)
    with pytest.raises(UsageError, match=r"the run in .* had other settings"):
        model.tune(examples, settings={**QUICK, "optimizer.lr": 0.5}, work_dir=tmp_path, resume=True)


def test_resuming_with_other_vectors_is_refused(model, examples, tmp_path):
    model.tune(examples, settings=QUICK, work_dir=tmp_path)
    other = densevl.load("mini-clip", embedder={**CROPS, "size": 64})
    with pytest.raises(UsageError, match=r"the run in .* had other vectors"):
        other.tune(examples, settings=QUICK, work_dir=tmp_path, resume=True)
