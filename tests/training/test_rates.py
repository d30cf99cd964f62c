"""Rates of parts and what is decayed."""

import pytest
import torch
from torch import nn

from densevl.core.errors import UsageError
from densevl.training.rates import PartRates


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.clip = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
        self.clipped = nn.Linear(2, 2, bias=False)
        self.scale = nn.Parameter(torch.zeros(()))


def groups(model: nn.Module, **rates: float) -> dict[str, tuple[float, float]]:
    """(rate, decay) of each weight that the optimizer has."""
    config = {"optimizer": {"type": "AdamW", "lr": 0.5, "weight_decay": 0.2}}
    built = PartRates(config, {"rates": rates})(model)
    places = {id(p): (g["lr"], g["weight_decay"]) for g in built.param_groups for p in g["params"]}
    return {name: places[id(p)] for name, p in model.named_parameters() if id(p) in places}


def test_parts_have_their_rate_and_matrices_alone_are_decayed():
    assert groups(Net(), clip=0.1) == {
        "clip.0.weight": (0.05, 0.2),
        "clip.0.bias": (0.05, 0.0),
        "clip.1.weight": (0.05, 0.0),
        "clip.1.bias": (0.05, 0.0),
        "clipped.weight": (0.5, 0.2),
        "scale": (0.5, 0.0),
    }


def test_without_settings_matrices_alone_are_decayed():
    config = {"optimizer": {"type": "AdamW", "lr": 0.5, "weight_decay": 0.2}}
    built = PartRates(config)(Net()).optimizer
    decays = {p.ndim: group["weight_decay"] for group in built.param_groups for p in group["params"]}
    assert decays == {2: 0.2, 1: 0.0, 0: 0.0}


def test_what_is_not_trained_is_left_out():
    model = Net()
    model.clip[0].weight.requires_grad_(False)
    assert "clip.0.weight" not in groups(model)


def test_a_rate_of_nothing():
    with pytest.raises(UsageError, match="names 'text', which is not trained here; trained are clip, clipped, scale"):
        groups(Net(), text=0.1)
