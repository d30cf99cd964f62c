"""Reference outputs, and a CLIP with the weights that they were made with."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import open_clip
import pytest
import torch

if TYPE_CHECKING:  # the shape checks of the tests must see densevl imported after them
    from densevl.encoders.clip import CLIPEncoder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    return shared / "golden"


@pytest.fixture(scope="session")
def rules(golden: Path) -> ModuleType:
    """Weights, images and texts made by rule."""
    spec = importlib.util.spec_from_file_location("rule_weights", golden / "rule_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encoder_by_rule(rules: ModuleType, arch: str) -> "CLIPEncoder":
    from densevl.encoders.clip import CLIPEncoder

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(arch))
    state = {
        name: torch.from_numpy(rules.rule_weight(name, tensor.shape)) if "visual" in name else torch.zeros(tensor.shape)
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    model.attn_mask = torch.zeros(model.attn_mask.shape)
    return CLIPEncoder(model.eval().requires_grad_(False), open_clip.get_tokenizer("ViT-B-16"), f"{arch} by rule")


@pytest.fixture(scope="session")
def rule_encoder(rules: ModuleType) -> "CLIPEncoder":
    """ViT-B-16 with weights made by rule in its image tower; the text tower, which no reference uses, is zero."""
    return encoder_by_rule(rules, "ViT-B-16")


@pytest.fixture(scope="session")
def quick_rule_encoder(rules: ModuleType) -> "CLIPEncoder":
    """The same with QuickGELU."""
    return encoder_by_rule(rules, "ViT-B-16-quickgelu")
