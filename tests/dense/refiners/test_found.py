"""FOUND's decoder: its published file, and files that are none."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from densevl.core.errors import WeightsError
from densevl.dense.refiners.found import build_found
from densevl.weights import location, weights_entry


def test_the_published_file(shared):
    published = shared / "data" / "found" / "decoder_weights.pt"
    place = location(weights_entry("found"))
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(published, place)
    decoder = build_found("found")  # checked by its sha256
    state = torch.load(published, map_location="cpu", weights_only=True)["decoder"]
    keys = torch.randn(2, 384, 3, 4)
    logits = decoder(keys)
    assert logits.shape == (2, 3, 4)
    by_hand = sum(state["weight"][0, c, 0, 0] * keys[1, c, 2, 3] for c in range(384)) + state["bias"][0]
    assert logits[1, 2, 3].item() == pytest.approx(by_hand.item(), rel=1e-4, abs=1e-4)
    place.write_bytes(published.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="sha256"):
        build_found("found")
    place.unlink()


def test_another_width(tmp_path):
    save_file({"weight": torch.randn(1, 8, 1, 1), "bias": torch.ones(1)}, tmp_path / "small.safetensors")
    decoder = build_found(tmp_path / "small.safetensors")
    assert decoder.in_channels == 8
    assert not decoder.weight.requires_grad


@pytest.mark.parametrize(
    "state", [{"bias": torch.ones(1)}, {"weight": torch.ones(2, 384, 1, 1), "bias": torch.ones(2)}]
)
def test_no_decoder(tmp_path, state):
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="made for another model"):
        build_found(tmp_path / "other.safetensors")
