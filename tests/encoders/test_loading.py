import json
import re

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from toys.dense import dense

from densevl.core.errors import UsageError, WeightsError
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.encoders.loading import build_clip

ARCH = "densevl-test-tiny"


@pytest.fixture(scope="module")
def source(tiny_clip, tmp_path_factory):
    """A small CLIP whose architecture open_clip knows by name."""
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 48, "layers": 4, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
    }
    folder = tmp_path_factory.mktemp("architectures")
    for name, layers in ((ARCH, 4), (f"{ARCH}-deep", 5), (f"{ARCH}-quickgelu", 4)):
        config["vision_cfg"]["layers"] = layers
        config["quick_gelu"] = name.endswith("quickgelu")
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    return tiny_clip()


@pytest.fixture
def weights(source, tmp_path):
    path = tmp_path / "open_clip_model.safetensors"
    save_file(source.state_dict(), path)
    return path


def test_the_encoder_computes_what_the_model_does(source, weights):
    encoder = ENCODERS.build({"type": "clip", "weights": str(weights), "arch": ARCH})
    batch = torch.rand(2, 3, 40, 24)
    expected = CLIPEncoder(source, open_clip.get_tokenizer("ViT-B-32"), "source")
    torch.testing.assert_close(dense(encoder, batch, PlainReadout()).grid, dense(expected, batch, PlainReadout()).grid)
    texts = ["cat", "red dog"]
    torch.testing.assert_close(encoder.embed_texts(texts), expected.embed_texts(texts))
    torch.testing.assert_close(encoder.embed_texts(texts), encoder.embed_texts(texts))
    tokens = encoder.text.tokenize(texts)
    torch.testing.assert_close(encoder.model.encode_text(tokens), source.encode_text(tokens))
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_half_precision_files_and_leftover_numbers_are_taken(source, tmp_path):
    state = {name: tensor.half() for name, tensor in source.state_dict().items()}
    state |= {name: torch.tensor(77) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "clip.pt")
    encoder = build_clip(tmp_path / "clip.pt", f"{ARCH}-quickgelu")  # as all files with these numbers are
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    batch = torch.rand(1, 3, 32, 32)
    quick = open_clip.CLIP(**open_clip.get_model_config(f"{ARCH}-quickgelu")).eval()
    quick.load_state_dict(source.state_dict())
    expected = CLIPEncoder(quick, open_clip.get_tokenizer("ViT-B-32"), "source").embed_images(batch)
    assert (encoder.embed_images(batch) * expected).sum() > 0.9999


def test_the_identity_is_that_of_the_content(source, weights, tmp_path):
    copy = tmp_path / "renamed.safetensors"
    copy.write_bytes(weights.read_bytes())
    first, second = build_clip(weights, ARCH).model_id, build_clip(copy, ARCH).model_id
    state = source.state_dict()
    state["logit_scale"] = state["logit_scale"] + 1
    save_file(state, copy)
    assert first == second != build_clip(copy, ARCH).model_id
    assert first.startswith(f"{ARCH}@")


def test_mean_std_and_cache_are_passed_on(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "cache"))
    encoder = build_clip(weights, ARCH, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), text_cache=False)
    assert encoder.mean == (0.5, 0.5, 0.5)
    batch = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(encoder.model.encode_image((batch - 0.5) / 0.2))
    torch.testing.assert_close(encoder.embed_images(batch), expected)
    encoder.embed_texts(["cat"])
    assert not (tmp_path / "cache").exists()
    build_clip(weights, ARCH).embed_texts(["cat"])
    assert list((tmp_path / "cache" / "text").iterdir())


def test_weights_of_another_model_are_refused(weights):
    with pytest.raises(WeightsError, match="made for another model"):
        build_clip(weights, f"{ARCH}-deep")
    with pytest.raises(WeightsError, match="made for another model"):
        build_clip(weights, "mini-clip")


def test_nan_is_refused(source, tmp_path):
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    state["visual.proj"][3, 3] = torch.nan
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="NaN"):
        build_clip(tmp_path / "nan.safetensors", ARCH)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        build_clip(tmp_path / "none.safetensors", ARCH)


def test_a_file_needs_its_architecture(weights):
    with pytest.raises(UsageError, match="which architecture"):
        build_clip(weights)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("ViT-B-17", "did you mean"),
        ("hf-hub:timm/ViT-B-16", "unknown"),
        ("coca_ViT-B-32", "writes texts"),
        ("roberta-ViT-B-32", "code"),
        ({"embed_dim": 8, "vision_cfg": {}}, "text_cfg is missing"),
    ],
)
def test_architectures_that_need_more_are_refused_before_anything_is_downloaded(weights, arch, message):
    with pytest.raises(UsageError, match=message):
        build_clip(weights, arch)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("ViT-B-16-SigLIP", "put tokenizer.json or spiece.model of timm/ViT-B-16-SigLIP .* into "),
        ("ViT-H-14-CLIPA", "put tokenizer.json of bert-base-uncased into "),
    ],
)
def test_a_missing_tokenizer_says_which_file_belongs_where(weights, arch, message):
    with pytest.raises(WeightsError, match=message + re.escape(str(weights.parent))):
        build_clip(weights, arch)


def test_unknown_weights_are_refused():
    with pytest.raises(UsageError, match="unknown"):
        build_clip("clip-vit-b17")


def test_random_weights_of_an_encoder_of_whole_images():
    encoder = build_clip("random:0", "mini-clip", whole=True)
    assert isinstance(encoder, WholeImageEncoder)
    assert not isinstance(encoder, CLIPEncoder)
    assert isinstance(build_clip("random:0", "mini-clip"), CLIPEncoder)
