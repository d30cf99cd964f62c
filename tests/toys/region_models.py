"""Small region models: their architectures, and files by their published names."""

from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from toys.published_regions import REGION_MODELS, alpha_arch, grain_arch

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip

ALPHA = alpha_arch(True)
"""Alpha-CLIP as the reference outputs have it, with a text tower of CLIP's vocabulary."""


def base_of(arch: dict) -> dict[str, Tensor]:
    """The CLIP that an Alpha-CLIP of an architecture is made from, by open_clip's names; of no skill."""
    vision = {key: value for key, value in arch["vision_cfg"].items() if key != "tower"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**{**arch, "vision_cfg": vision})
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def save_alpha(folder: Path, alpha: float | None = None) -> tuple[Path, Path]:
    """Files of an Alpha-CLIP of no skill and of the CLIP that it is made from.

    Args:
        folder: where they are written.
        alpha: what all weights of the fourth channel are, with CLIP's own weights beside it; None for other weights
            throughout.
    """
    path, base = folder / "alpha.safetensors", folder / "base.safetensors"
    clip = base_of(ALPHA)
    state = REGION_MODELS["alpha-clip"](True).state()
    gains = [name for name in state if "ln_" in name and name.endswith("weight")]
    state |= {name: 1 + 0.1 * state[name] for name in gains}  # as of a trained one, so that masks are seen
    state["conv1_alpha.weight"] *= 4
    if alpha is not None:
        dotted = {name.replace("in_proj_", "in_proj."): tensor for name, tensor in clip.items()}
        state = {name: dotted[f"visual.{name}"] for name in state if name != "conv1_alpha.weight"}
        state["conv1_alpha.weight"] = torch.full((64, 1, 8, 8), alpha)
    save_file(state, path)
    save_file(clip, base)
    return path, base


def save_grain(folder: Path) -> Path:
    """A checkpoint as a training of GRAIN on several devices writes it, of a model of no skill."""
    state = REGION_MODELS["grain"](True).state()
    parts: dict[str, dict[str, Tensor]] = {"state_dict": {}, "backbone_state_dict": {}}
    for name, tensor in state.items():
        inside = name.startswith("backbone.")
        part = parts["backbone_state_dict" if inside else "state_dict"]
        part["module." + name.removeprefix("backbone.")] = tensor
    path = folder / "ep_34.pth.tar"
    torch.save({"epoch": 34, "best_acc": 0.1, "optimizer": {"state": {}, "param_groups": []}, **parts}, path)
    return path


def grain_encoder_of(folder: Path) -> CLIPEncoder:
    """A GRAIN of no skill."""
    return build_clip(save_grain(folder), grain_arch(True), text_cache=False)
