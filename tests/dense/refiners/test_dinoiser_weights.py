"""Files of heads: the published layout and ours, and what is wrong with others."""

import pytest
import torch
from safetensors.torch import save_file

from densevl.core.errors import UsageError, WeightsError
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import build_dinoiser, save_heads
from densevl.weights import read_metadata, weights_entry


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return DinoiserRefiner(12, 5, "blocks.0.ln_2", encoder_id="tiny@1")


def published(state, path):
    """The layout of the published checkpoint."""
    torch.save({"epoch": 99, "model_state_dict": state}, path)
    return path


def test_the_published_layout(heads, tmp_path):
    path = published(heads.state_dict(), tmp_path / "last.pt")
    loaded = build_dinoiser(path)
    assert (loaded.width, loaded.obj_proj.out_channels, loaded.layer) == (12, 5, "blocks.-3.ln_2")
    assert loaded.encoder_id is None
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for name, tensor in heads.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert build_dinoiser(path, layer="blocks.2", gamma=0.4).gamma == 0.4


def test_our_own_files_know_their_encoder_and_layer(heads, tmp_path):
    save_heads(heads, tmp_path / "heads.safetensors")
    loaded = build_dinoiser(tmp_path / "heads.safetensors")
    assert (loaded.encoder_id, loaded.layer, loaded.width) == ("tiny@1", "blocks.0.ln_2", 12)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), heads.parameters(), strict=True))
    assert read_metadata(tmp_path / "heads.safetensors")["width"] == "12"
    assert read_metadata(published(heads.state_dict(), tmp_path / "last.pt")) == {}


def test_heads_in_half_precision_are_read_as_float32(heads, tmp_path):
    save_heads(heads.half(), tmp_path / "heads.safetensors")
    assert build_dinoiser(tmp_path / "heads.safetensors").obj_proj.weight.dtype == torch.float32


def test_heads_of_no_encoder_are_not_saved(tmp_path):
    with pytest.raises(UsageError, match="encoder_id"):
        save_heads(DinoiserRefiner(12), tmp_path / "heads.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bkg_decoder.bias"), "1 missing: bkg_decoder.bias"),
        (lambda s: s.pop("obj_proj.weight"), "1 missing: obj_proj.weight"),
        (lambda s: s.update({"extra": torch.zeros(1)}), "1 not in the model: extra"),
        (lambda s: s.update({"bkg_decoder.weight": torch.zeros(1, 7, 1, 1)}), "1 of another shape: bkg_decoder.weight"),
        (lambda s: s.update({"obj_proj.weight": torch.zeros(5, 12)}), "of another shape: obj_proj.weight"),
        (lambda s: s.update({"obj_proj.weight": torch.zeros(5, 12, 5, 5)}), "1 of another shape: obj_proj.weight"),
        (lambda s: s["obj_proj.bias"].fill_(torch.nan), "NaN or infinite values in obj_proj.bias"),
    ],
)
def test_damaged_files(heads, tmp_path, change, message):
    state = {name: tensor.clone() for name, tensor in heads.state_dict().items()}
    change(state)
    with pytest.raises(WeightsError, match=message):
        build_dinoiser(published(state, tmp_path / "last.pt"))
    save_file(state, tmp_path / "heads.safetensors")
    with pytest.raises(WeightsError, match=message):
        build_dinoiser(tmp_path / "heads.safetensors")


def test_weights_of_something_else(tmp_path):
    with pytest.raises(WeightsError, match=r"4 missing: obj_proj\.weight"):
        build_dinoiser(published({"visual.conv1.weight": torch.zeros(2, 2)}, tmp_path / "clip.pt"))


def test_random_heads_follow_their_seed():
    first, again, other = (build_dinoiser(f"random:{seed}", width=16).obj_proj.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (256, 16, 3, 3)
    with pytest.raises(UsageError, match="random:SEED"):
        build_dinoiser("random:x")


def test_the_published_heads_are_in_the_table():
    entry = weights_entry("dinoiser-b16")
    shapes = (256 * 768 * 9, 256, 768, 1)
    assert entry.parameters == sum(shapes)
    assert entry.address.endswith("a954aae6fb61f5ff18834e50a0c78a2258cd9afb/checkpoints/last.pt")
    with pytest.raises(WeightsError, match=r"git hash-object must print 0b6c94d9c439ebac7bcb07fe805be3654ea03c7f"):
        build_dinoiser("dinoiser-b16", offline=True)
