"""Weights that do not fit what they are to be read into: one error, with its cure."""

import argparse
import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from toys.published import PUBLISHED, small_clip, small_timm

from densevl.core.errors import UsageError, WeightsError
from densevl.encoders import faults
from densevl.encoders.faults import channels, likeness
from densevl.encoders.loading import build_clip
from densevl.weights import load_state_dict, weights_entry
from densevl.weights.layouts import layout
from densevl.weights.opened import OpenedWeights


@pytest.fixture
def saved(tmp_path):
    """A small file of a layout; with it the architecture that it is for, and its base."""

    def save(name):
        file = PUBLISHED[name](True)
        save_file(file.state(), tmp_path / f"{name}.safetensors")
        if file.base:
            save_file(file.base_state(), tmp_path / "base.safetensors")
        return tmp_path / f"{name}.safetensors", file.arch

    return save


@pytest.mark.parametrize("name", ["openai", "long-clip", "laclip", "slip", "a-clip"])
def test_gelu_where_a_layout_is_always_quick_gelu(saved, name):
    path, arch = saved(name)
    with pytest.raises(
        WeightsError, match=rf"layout {name} are made for QuickGELU, .* has GELU; write \"quick_gelu\": true"
    ):
        build_clip(path, arch | {"quick_gelu": False}, text_cache=False)


def test_the_cure_names_the_other_architecture(saved):
    path, _ = saved("openai")
    with pytest.raises(WeightsError, match=r"architecture ViT-B-32 has GELU; take ViT-B-32-quickgelu$"):
        build_clip(path, "ViT-B-32", text_cache=False)


def test_quick_gelu_where_the_table_knows_better(tmp_path, monkeypatch):
    """A file of the user that has the hash of a row, or a name that one row alone has."""
    arch = small_clip(quick_gelu=True)
    save_file(PUBLISHED["un2clip"](True).base_state(), tmp_path / "renamed.safetensors")
    digest = hashlib.sha256((tmp_path / "renamed.safetensors").read_bytes()).hexdigest()
    row = replace(weights_entry("clip-vit-l14-laion2b"), sha256=digest)
    monkeypatch.setattr(faults, "weights_table", lambda: {row.name: row})
    with pytest.raises(WeightsError, match=r"weights clip-vit-l14-laion2b are made for GELU, .* given has QuickGELU"):
        build_clip(tmp_path / "renamed.safetensors", arch, text_cache=False)
    encoder = build_clip(tmp_path / "renamed.safetensors", arch | {"quick_gelu": False}, text_cache=False)
    assert encoder.mean == (0.5, 0.5, 0.5), "what the table knows of the file"
    monkeypatch.undo()
    save_file(PUBLISHED["un2clip"](True).base_state(), tmp_path / "longclip-B.pt")
    with pytest.raises(WeightsError, match=r"longclip-b16 are made for QuickGELU"):
        build_clip(tmp_path / "longclip-B.pt", arch | {"quick_gelu": False}, text_cache=False)


def test_a_row_keeps_its_activation_whatever_is_asked_for(tmp_path, saved):
    path, _ = saved("openai")
    opened = OpenedWeights(path, weights_entry("clip-vit-b32-laion2b"))
    with pytest.raises(WeightsError, match=r"clip-vit-b32-laion2b are made for GELU.*take ViT-B-32$"):
        faults.check_activation("ViT-B-32-quickgelu", opened, layout("open_clip"), opened.entry)


def test_a_layout_that_is_another(saved):
    path, _ = saved("transformers-clip")
    with pytest.raises(WeightsError, match=r"looks like a file of the layout transformers-clip: leave layout=slip out"):
        build_clip(path, small_timm(), layout="slip", text_cache=False)


def test_an_architecture_that_is_not_of_the_layout(saved):
    path, _ = saved("laclip")
    with pytest.raises(WeightsError, match=r"layout laclip, whose architectures are LaCLIP-ViT-B-16$"):
        build_clip(path, small_clip(quick_gelu=True), text_cache=False)


def test_the_architecture_that_the_shapes_are_of():
    """Without numbers, since such files are large."""
    state, _ = PUBLISHED["un2clip"](False).meta()
    whole = {name: torch.empty(shape, device="meta") for name, shape in PUBLISHED["un2clip"](False).base.items()}
    opened = OpenedWeights.__new__(OpenedWeights)
    opened.__dict__["state"] = whole
    seen = likeness(opened, layout("open_clip"), "ViT-B-16", whole)
    assert seen.startswith("its shapes are those of ViT-L-14 and ViT-L-14")
    assert "ViT-L-14-quickgelu" in seen
    assert "ViT-L-14-336" not in seen
    opened.__dict__["state"] = state
    assert likeness(opened, layout("un2clip"), "ViT-B-16", state) == ""


def test_a_part_without_its_base(saved, tmp_path):
    path, arch = saved("un2clip")
    with pytest.raises(WeightsError, match=r"layout un2clip holds a part of a model; name the weights .* as base="):
        build_clip(path, arch, text_cache=False)
    with pytest.raises(WeightsError, match=r"none\.safetensors does not exist"):
        build_clip(path, arch, base=tmp_path / "none.safetensors", text_cache=False)
    with pytest.raises(UsageError, match="did you mean clip-vit-l14-openai"):
        build_clip(path, arch, base="clip-vit-l14-opena", text_cache=False)


def test_a_base_of_another_architecture(saved, tmp_path):
    path, arch = saved("un2clip")
    save_file(PUBLISHED["timm-vit"](True).base_state(), tmp_path / "timm.safetensors")
    with pytest.raises(WeightsError, match=r"timm\.safetensors has none of the tensors of .*made from"):
        build_clip(path, arch, base=tmp_path / "timm.safetensors", text_cache=False)
    wider = PUBLISHED["un2clip"](True).base | {"visual.proj": (64, 32)}
    save_file({name: torch.zeros(shape) for name, shape in wider.items()}, tmp_path / "wider.safetensors")
    with pytest.raises(
        WeightsError, match=r"another architecture than .*visual\.proj \(64, 32\) instead of \(64, 24\)"
    ):
        build_clip(path, arch, base=tmp_path / "wider.safetensors", text_cache=False)


def test_a_base_for_a_whole_model(saved):
    path, arch = saved("long-clip")
    with pytest.raises(UsageError, match="holds a whole model, so the base clip-vit-b16-openai would change nothing"):
        build_clip(path, arch, base="clip-vit-b16-openai", text_cache=False)


def test_an_image_tower_alone_is_for_another_encoder(saved):
    path, arch = saved("timm-vit")
    with pytest.raises(WeightsError, match="DINO and DeiT are for the encoder `dino`"):
        build_clip(path, arch, text_cache=False)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((123.675, 116.28, 103.53), None),
        ((0.5, 0.5), None),
        (0.5, None),
        ("0.5", None),
        ((0.5, 0.5, None), None),
        ((float("nan"), 0.5, 0.5), None),
        ((-0.1, 0.5, 0.5), None),
        (None, (0.5, 0.5, 0.0)),
        (None, (58.395, 57.12, 57.375)),
        (None, [0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_a_mean_and_a_deviation_are_three_numbers_of_channels(mean, std):
    with pytest.raises(UsageError, match=r"must be 3 numbers .*--set encoder\.(mean|std)=\[0\.5,0\.5,0\.5\].*by 255"):
        channels(mean, std)


def test_images_that_are_not_normalised_are_taken():
    assert channels([0, 0, 0], [1, 1, 1]) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert channels(None, None) == (None, None)


def test_another_mean_is_set_where_the_layout_has_one(saved):
    path, arch = saved("laclip")
    usual = build_clip(path, arch, text_cache=False)
    assert usual.mean == (0.485, 0.456, 0.406)
    other = build_clip(path, arch, mean=(0.5, 0.5, 0.5), text_cache=False)
    assert other.mean == (0.5, 0.5, 0.5)
    assert other.model_id != usual.model_id, "features of images that were prepared in another way are others"
    assert build_clip(path, arch, mean=(0.485, 0.456, 0.406), text_cache=False).model_id == usual.model_id
    assert build_clip(path, arch, resize="squash", text_cache=False).model_id not in (usual.model_id, other.model_id)


def test_a_pickle_with_the_arguments_of_its_program(tmp_path):
    """SLIP's files are so. What the message says to run is run, and makes a file that loads."""
    path, new = tmp_path / "slip_base_100ep.pt", tmp_path / "new.safetensors"
    file = PUBLISHED["slip"](True)
    state = {f"module.{name}": tensor for name, tensor in file.state().items()}
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=0.1), "epoch": 100}, path)
    with pytest.raises(WeightsError, match=r"asks for argparse\.Namespace, .* Arguments .* run nothing") as caught:
        load_state_dict(path)
    code = str(caught.value).partition('python -c "')[2].partition('"`')[0]
    exec(code.replace("FILE", str(path)).replace("NEW.safetensors", str(new)), {})
    encoder = build_clip(new, file.arch, text_cache=False)
    assert encoder.embed_texts(["a cat"]).shape == (1, 24)
    torch.save({"state_dict": state, "made": pytest.raises}, tmp_path / "code.pt")
    with pytest.raises(WeightsError) as caught:
        load_state_dict(tmp_path / "code.pt")
    assert "run nothing" not in str(caught.value)


def test_the_encoder_resizes_as_the_table_says(saved, tmp_path):
    path, arch = saved("openai")
    image = torch.rand(1, 3, 50, 70)
    vectors = [
        build_clip(path, arch, interpolation=how, text_cache=False).embed_images(image)
        for how in ("bicubic", "bilinear")
    ]
    assert not torch.allclose(*vectors)
    with pytest.raises(UsageError, match="interpolation must be"):
        build_clip(path, arch, interpolation="nearest", text_cache=False).embed_images(image)
