"""BiomedCoOp, MoCoOp, GOPro and NoLA through a model: what they need and read, and that any command takes them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys.tuning import NAMES, two_colours

import densevl
from densevl.classifiers.classes import Classes
from densevl.cli import main
from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.datasets.examples import read_examples
from densevl.dense.guides import GUIDES

CROPS = {"type": "marked-images", "visual_prompts": ["crop"], "size": 32, "mode": "keep"}
TEXTS = {"red": ["a red square", "a thing in red"], "blue": ["a blue square"], "green": ["a green star"]}
QUICK = {"steps": 2, "batch": 4, "views": 2}
SMALL = {"tunables.0.count": 2}


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-clip", embedder=CROPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of two kinds, which nobody named."""
    made = tmp_path_factory.mktemp("colours")
    two_colours(made, 6)
    return made


@pytest.fixture(scope="module")
def examples(folder):
    """The same images, each with a name."""
    records = [{"image": str(path), "name": path.stem[:-1]} for path in sorted(folder.glob("*.png"))]
    file = folder / "examples.json"
    file.write_text(json.dumps(records))
    return read_examples(file)


def numbers(classes):
    return [tensor for part in classes.delta.tensors for _, tensor in sorted(part.items())]


@pytest.mark.parametrize("method", ["biomedcoop", "mocoop", "gopro"])
def test_classes_are_tuned_saved_and_used(model, examples, tmp_path, method):
    texts = TEXTS if method == "biomedcoop" else None
    classes = model.tune(examples, method=method, settings=QUICK, descriptions=texts)
    classes.save(tmp_path / "c.safetensors")
    loaded = densevl.load("mini-clip", embedder=CROPS, **{"encoder.delta": tmp_path / "c.safetensors"})
    boxes = np.array([[0, 0, 24, 24]])
    image = next(iter(examples)).image
    found = loaded.recognise(image, boxes, Classes.load(tmp_path / "c.safetensors"))
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(1))
    assert all(one.isfinite().all() for one in numbers(classes))


def test_labels_are_read_nowhere_where_none_are_asked_for(model, examples):
    """Not even by way of the order of the classes, of held-out examples, or of the draws of a step."""
    settings = {**QUICK, **SMALL}
    first = model.tune(examples, method="nola", settings=settings, held_out=0.34)
    assert first.heads["regions"].facts["labels"] == "made"
    other = [replace(one, name=NAMES[n // 3]) for n, one in enumerate(examples)]
    assert [one.name for one in other] != [one.name for one in examples]
    second = model.tune(other, method="nola", settings=settings, held_out=0.34)
    assert first.names == second.names
    assert all(torch.equal(a, b) for a, b in zip(numbers(first), numbers(second), strict=True))
    assert torch.equal(first.head("regions").weight, second.head("regions").weight)


def test_images_that_nobody_named_are_enough(model, folder, examples):
    settings = {**QUICK, **SMALL}
    named = model.tune(examples, method="nola", settings=settings, kind="images")
    unnamed = model.tune(str(folder), method="nola", settings=settings, kind="images", names=["blue", "red"])
    assert unnamed.names == named.names == ("blue", "red")
    assert all(torch.equal(a, b) for a, b in zip(numbers(named), numbers(unnamed), strict=True))
    described = model.tune(
        str(folder), method="nola", settings=settings, kind="images", names=["blue", "red"], descriptions=TEXTS
    )
    assert not all(torch.equal(a, b) for a, b in zip(numbers(named), numbers(described), strict=True))


def test_it_is_a_command_too(folder, tmp_path, capsys):
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    out = tmp_path / "c.safetensors"
    options = ["--steps", "1", "--batch", "2", "--set", "tunables.0.count=2", "--names", "red, blue", "--out", str(out)]
    described = ["--descriptions", str(tmp_path / "texts.json"), "--for", "images", "--model", "mini-clip"]
    assert main(["tune", str(folder), "--method", "nola", *options, *described]) == 0
    assert Classes.load(out).names == ("red", "blue")
    assert "nola" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "options", "error"),
    [
        ("biomedcoop", {}, "needs texts that describe the classes; give --descriptions FILE"),
        ("biomedcoop", {"descriptions": {"red": ["it is red"]}}, "1 of 2 classes have no descriptions: blue"),
        ("biomedcoop", {"names": ["red", "blue"]}, "names are given to methods that read no labels, such as nola"),
        (
            "coop",
            {"descriptions": {"red": ["a fire"], "blue": ["a sea"]}},
            "coop reads no descriptions; leave them out",
        ),
        ("nola", {"names": ["red"]}, "two classes or more are told apart; got red"),
        ("nola", {"settings": {**QUICK, "unlabelled": {}}}, "a second encoder, and there is none: --set unlabelled"),
    ],
)
def test_what_cannot_be_is_said_once(model, examples, method, options, error):
    with pytest.raises(UsageError, match=error):
        model.tune(examples, method=method, **{"settings": QUICK, **options})


def test_groups_that_do_not_fit_are_said(model, examples):
    settings = {**QUICK, "class_texts.groups": [["a {}."], ["two words"]]}
    with pytest.raises(UsageError, match=r"template 'two words' must hold \{\} once"):
        model.tune(examples, method="mocoop", settings=settings)


def test_a_second_encoder_without_features_is_said(model, examples):
    @GUIDES.register_module("blind", force=True)
    class Blind:
        def __call__(self, images):
            return None

    assert build(GUIDES, "blind") is not None
    with pytest.raises(UsageError, match="gives no features of patches"):
        model.tune(examples, method="nola", settings={**QUICK, **SMALL, "unlabelled.guide": "blind"})
    GUIDES.module_dict.pop("blind")


def test_resuming_with_other_descriptions_is_refused(model, examples, tmp_path):
    model.tune(examples, method="biomedcoop", settings=QUICK, descriptions=TEXTS, work_dir=tmp_path)
    others = {name: [*texts, "something else"] for name, texts in TEXTS.items()}
    with pytest.raises(UsageError, match=r"the run in .* had other descriptions"):
        model.tune(examples, method="biomedcoop", settings=QUICK, descriptions=others, work_dir=tmp_path, resume=True)
