"""The models that can be loaded by name."""

import inspect
import subprocess
import sys

import pytest

from densevl.errors import UsageError
from densevl.models import model_entry, models
from densevl.vocabulary import templates
from densevl.weights import weights_entry

NAMES = ("mini", "maskclip", "maskclip-openai-b16", "maskclip-b32", "maskclip-l14", "maskclip-l14-336", "maskclip-h14")


def test_the_names() -> None:
    assert tuple(models())[: len(NAMES)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_entries_are_complete(name: str) -> None:
    entry = model_entry(name)
    assert entry.name == name
    assert entry.segmentor["encoder"]["weights"] in entry.weights
    assert entry.description
    assert entry.licence
    assert isinstance(entry.cached, bool)
    assert templates(entry.segmentor["templates"])
    if name != "mini":
        assert entry.size == sum(weights_entry(weights).bytes for weights in entry.weights) > 500e6
        assert not entry.cached


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_those_of_the_segmentor(name: str) -> None:
    from densevl.segmentors import Segmentor

    assert set(model_entry(name).segmentor) <= set(inspect.signature(Segmentor).parameters)


def test_the_published_protocol() -> None:
    assert model_entry("maskclip").segmentor == {
        "encoder": {"type": "clip", "weights": "clip-vit-b16-laion2b"},
        "readout": "maskclip",
        "templates": "imagenet80",
        "short_side": 448,
        "long_side": 2048,
        "window": 448,
        "stride": 224,
    }


def test_entries_may_be_changed_without_changing_the_table() -> None:
    model_entry("maskclip").segmentor["encoder"]["weights"] = "other"
    models()["maskclip"].segmentor["window"] = 1
    assert model_entry("maskclip").segmentor["encoder"]["weights"] == "clip-vit-b16-laion2b"
    assert model_entry("maskclip").segmentor["window"] == 448


def test_unknown_models() -> None:
    with pytest.raises(UsageError, match=r"model 'maskclip-b16' is unknown; did you mean .*maskclip"):
        model_entry("maskclip-b16")


def test_listing_models_loads_nothing_heavy() -> None:
    code = "import sys, densevl.models as m; m.models(); print({'torch', 'mmengine', 'cv2'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
