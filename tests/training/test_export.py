"""From a training checkpoint to the shipped weights."""

import pytest
import torch

from densevl.core.errors import WeightsError
from densevl.encoders.loading import build_clip_model
from densevl.regions.mask_makers.sam import build_sam
from densevl.training.contrastive import ContrastiveCLIP
from densevl.training.export import CLIP_PREFIX, SAM_PREFIX, export, export_half
from densevl.training.mini_sam import PromptedSam


def test_exported_weights_are_the_model_in_half_precision(tmp_path):
    trained = ContrastiveCLIP(seed=3)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "iter_1.pth")
    export(tmp_path / "iter_1.pth", tmp_path / "clip.safetensors")
    assert (tmp_path / "clip.safetensors").stat().st_size <= 8e6
    model, _ = build_clip_model("mini-clip", tmp_path / "clip.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained.clip.state_dict()[name].half().float()), name


@pytest.mark.parametrize("prefix", [CLIP_PREFIX, SAM_PREFIX])
def test_nothing_to_export(tmp_path, prefix):
    torch.save({"head.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=f"no name begins with '{prefix}'"):
        export_half(tmp_path / "other.pth", tmp_path / "x.safetensors", prefix)
    torch.save({f"{prefix}proj": torch.tensor([7e4])}, tmp_path / "broken.pth")
    with pytest.raises(WeightsError, match=r"broken\.pth holds NaN or infinite values in proj"):
        export_half(tmp_path / "broken.pth", tmp_path / "x.safetensors", prefix)
    assert not (tmp_path / "x.safetensors").exists()


def test_an_exported_sam_is_the_model_in_half_precision(tmp_path):
    trained = PromptedSam(seed=3)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "iter_1.pth")
    export(tmp_path / "iter_1.pth", tmp_path / "sam.safetensors")
    assert (tmp_path / "sam.safetensors").stat().st_size <= 5e6
    model = build_sam(tmp_path / "sam.safetensors").model
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained.sam.state_dict()[name].half().float()), name
