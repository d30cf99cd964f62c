"""The small CLIP that the reference outputs of tuning were made with: OpenAI's architecture, weights by rule.

Its architecture is the one that ``golden/adapters/README.md`` describes.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor
from toys.golden import golden_folder, rules

if TYPE_CHECKING:  # the shape checks of the tests must see densevl imported after them
    from densevl.encoders.clip import CLIPEncoder

ARCH = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 768, "patch_size": 32, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 3},
    "quick_gelu": True,
}


@cache
def adapters_golden(name: str) -> Mapping[str, np.ndarray]:
    """The inputs and outputs of one file of ``golden/adapters``."""
    with np.load(golden_folder() / "adapters" / f"{name}.npz") as file:
        return dict(file)


def by_rule(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor that depends on its name and shape alone, by ``golden/rule_weights.py`` without any addition."""
    return torch.from_numpy(np.asarray(rules().rule_weight(name, shape), dtype=np.float32))


@cache
def small_clip_state() -> Mapping[str, Tensor]:
    """Its weights by open_clip's names; never to be changed."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in open_clip.CLIP(**ARCH).state_dict().items()}
    return {name: by_rule(name, shape) for name, shape in shapes.items()}


def small_clip() -> "CLIPEncoder":
    """An encoder of its own each time, which a test may tune; float32, in evaluation."""
    from densevl.encoders.clip import CLIPEncoder

    model = open_clip.CLIP(**ARCH)
    model.load_state_dict(small_clip_state())
    tokenizer = open_clip.get_tokenizer("ViT-B-16")
    return CLIPEncoder(model.eval().requires_grad_(False), tokenizer, "small by rule")


@pytest.fixture(name="small_clip", scope="session")
def small_clip_fixture() -> "CLIPEncoder":
    """The encoder that many tests share; none may change it: take :func:`small_clip` for that."""
    return small_clip()


def small_images(images: np.ndarray) -> Tensor:
    """Images of a reference file, (b, h, w, 3) or (b, 3, h, w) uint8, as an encoder takes them: RGB in [0, 1]."""
    found = torch.from_numpy(images)
    return (found.permute(0, 3, 1, 2) if found.shape[-1] == 3 else found).float() / 255
