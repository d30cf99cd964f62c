"""The models that can be loaded by name."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from densevl.api.models import (
    ANY,
    default_model,
    encoders,
    is_model,
    model_entry,
    models,
    named_model,
    needed_weights,
    weights_in,
)
from densevl.core.errors import UsageError
from densevl.core.vocabulary import templates
from densevl.weights import location, weights_entry

NAMES = (
    "mini",
    "mini-maskclip",
    "photo",
    "photo-fast",
    "dinoiser",
    "maskclip",
    "maskclip-openai-b16",
    "maskclip-b32",
    "maskclip-l14",
    "maskclip-l14-336",
    "maskclip-h14",
)


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
    if name.startswith("photo"):  # its weights are installed with densevl
        assert entry.cached
        assert entry.size < 20e6
    elif not name.startswith("mini"):
        assert entry.size == sum(weights_entry(weights).bytes for weights in entry.weights) > 500e6
        assert not entry.cached


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_those_of_the_segmentor(name: str) -> None:
    from densevl.tasks.segmentation.segmentor import Segmentor

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


def test_the_default_is_dinoiser_unless_only_maskclip_can_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    clip, heads = (location(entry) for entry in model_entry("dinoiser").files)
    assert default_model(offline=True) == ("dinoiser", "the default")  # the error says what to fetch
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"x")
    name, reason = default_model(offline=True)
    assert name == "maskclip"
    assert reason == "the weights dinoiser-b16 of dinoiser are not here, and densevl is set to stay offline"
    monkeypatch.delenv("DENSEVL_OFFLINE")
    assert default_model() == ("dinoiser", "the default")  # the heads are fetched
    heads.parent.mkdir(parents=True)
    heads.write_bytes(b"x")
    assert default_model(offline=True) == ("dinoiser", "the default")


def test_the_default_grounder_is_the_small_one_unless_only_the_published_one_can_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    assert default_model(offline=True, component="grounder") == ("fgvp-b16", "the default")
    assert model_entry("fgvp-b16").size < 1e9
    for entry in model_entry("fgvp").files:
        location(entry).parent.mkdir(parents=True)
        location(entry).write_bytes(b"x")
    name, reason = default_model(offline=True, component="grounder")
    assert name == "fgvp"
    assert reason.startswith("the weights clip-vit-b16-openai, sam-vit-b of fgvp-b16 are not here")


def test_the_small_grounder_differs_in_its_models_alone() -> None:
    small, published = model_entry("fgvp-b16").grounder, model_entry("fgvp").grounder
    assert small["mask_maker"] == {"type": "sam", "weights": "sam-vit-b"}
    (embedder,) = small["embedders"]
    assert embedder == {**published["embedders"][0], "encoder": {"type": "clip", "weights": "clip-vit-b16-openai"}}


@pytest.mark.parametrize(
    "name", ["naclip@clip-vit-l14-openai", "dinoiser@clip-vit-b16-openai", "mini@clip-vit-b32-laion2b"]
)
def test_the_files_of_a_head_on_an_encoder_are_those_that_loading_takes(name: str) -> None:
    from densevl.api.changes import changed

    entry, encoder = named_model(name)
    taken = weights_in(changed(entry, {"encoder": {"type": "clip", "weights": encoder}}))
    assert {file.name for file in needed_weights(name)} == set(taken)


def test_the_weights_of_an_encoder_are_a_model_with_the_usual_readers() -> None:
    entry = model_entry("clip-vit-l14-laion2b")
    usual = model_entry("maskclip").segmentor
    encoder = {"type": "clip", "weights": "clip-vit-l14-laion2b"}
    assert entry.segmentor == {**usual, "encoder": encoder, "temperature": None}
    assert entry.grounder["embedders"][0]["encoder"] == entry.embedder["encoder"] == encoder
    assert entry.commands == ("segment", "compare", "embed", "search", "refer")
    assert entry.weights == ("clip-vit-l14-laion2b", "sam-vit-b")
    assert [file.name for file in needed_weights("clip-vit-l14-laion2b")] == ["clip-vit-l14-laion2b"]
    assert is_model("naclip@siglip2-vit-b16")
    assert is_model("siglip2-vit-b16")
    assert not is_model("sam-vit-b")


def test_readers_of_a_row_of_their_own() -> None:
    tok, mini = model_entry("mini-tok"), model_entry("mini-clip")
    encoder = {"type": "clip", "weights": "mini-tok"}
    assert tok.segmentor == {**mini.segmentor, "encoder": encoder}
    assert tok.grounder["mask_maker"] == {"type": "sam", "weights": "mini-sam"}
    assert model_entry("mini-resnet").segmentor["short_side"] == 512


def test_the_row_of_readers_is_no_model() -> None:
    assert ANY not in models()
    assert not is_model(ANY)
    with pytest.raises(UsageError, match="is unknown"):
        model_entry(ANY)


@pytest.mark.parametrize("name", [name for name in encoders() if name.startswith("mini-")])
def test_mini_encoders_segment_embed_search_refer_and_teach(name: str) -> None:
    from densevl.api.loading import load
    from densevl.datasets.scenes import render

    scene = render(5, 0, 128, "val")
    model = load(name, device="cpu")
    labels = model.segment(scene.image, ["grass", "sand", "water", "red circle"])
    assert labels.labels.shape == scene.labels.shape
    assert model.segmentor.temperature == model.segmentor.encoder.temperature != 100
    boxes = [list(map(float, item.box)) for item in scene.objects]
    assert len(model.embed(scene.image, boxes).vectors) == len(boxes)
    assert model.refer(scene.image, f"the {scene.objects[0].name}", boxes).best in range(len(boxes))
    assert model.embedder.encoder is model.segmentor.encoder is model.grounder.embedders[0].encoder


def test_unknown_models() -> None:
    with pytest.raises(UsageError, match=r"model 'maskclip-b16' is unknown; did you mean .*maskclip"):
        model_entry("maskclip-b16")


def test_listing_models_loads_nothing_heavy() -> None:
    code = "import sys, densevl.api.models as m; m.models(); print({'torch', 'mmengine', 'cv2'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_weights_of_a_type_are_its_own_repository():
    assert "sam2" in model_entry("best").weights
    assert "sam2" not in model_entry("corrclip").weights  # SAM 2.1 Large, which the table does not have
