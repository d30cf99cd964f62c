"""CLIP encoders with random weights: for measuring speed and trying pipelines where no weights can be had."""

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini_clip import build_mini_clip
from densevl.errors import UsageError
from densevl.registry import ENCODERS

__all__ = ["build_random_clip"]


@ENCODERS.register_module("random-clip")
def build_random_clip(arch: str = "ViT-B-16", seed: int = 0) -> CLIPEncoder:
    """A CLIP encoder that has learned nothing; its ``model_id`` says so.

    Args:
        arch: architecture by its name in open_clip, or ``"mini-clip"``.
        seed: the same seed gives the same weights.

    Raises:
        UsageError: where the architecture is unknown.
    """
    if arch != "mini-clip" and arch not in open_clip.list_models():
        raise UsageError(f"architecture {arch!r} is unknown; take one of open_clip, such as ViT-B-16, or mini-clip")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if arch == "mini-clip":
            model, tokenizer = build_mini_clip()
        else:
            model, tokenizer = open_clip.CLIP(**open_clip.get_model_config(arch)), SimpleTokenizer()
    return CLIPEncoder(model.eval().requires_grad_(False), tokenizer, model_id=f"{arch}@random:{seed}")
