"""Segmentors by name or from a config, with changes."""

import pytest
import torch

from densevl.api.models import model_entry
from densevl.api.segmentor_building import build_segmentor
from densevl.core.errors import UsageError
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import save_heads


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_overrides_and_dtype_reach_the_segmentor(dtype):
    segmentor = build_segmentor("mini", "random:0", dtype, short_side=64, templates="plain")
    assert (segmentor.short_side, segmentor.templates) == (64, "plain")
    assert segmentor.protocol["dtype"] == "bfloat16"
    assert "@random" in segmentor.encoder.model_id


def test_random_weights_are_those_of_the_heads_too(tmp_path):
    mini = {**model_entry("mini").segmentor, "refiners": [{"type": "dinoiser", "weights": "dinoiser-b16"}]}
    first, again, other = (build_segmentor(mini, f"random:{seed}") for seed in (0, 0, 1))
    assert first.refiners[0].width == first.encoder.width
    states = [segmentor.refiners[0].state_dict() for segmentor in (first, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["obj_proj.weight"], states[2]["obj_proj.weight"])
    save_heads(DinoiserRefiner(first.encoder.width, 8, encoder_id="mini-clip"), tmp_path / "heads.safetensors")
    mine = build_segmentor(mini, "random:0", heads=tmp_path / "heads.safetensors")
    assert mine.refiners[0].obj_proj.out_channels == 8
    with pytest.raises(UsageError, match="no refiner with weights"):
        build_segmentor({**mini, "refiners": []}, "random:0", heads="dinoiser-b16")
