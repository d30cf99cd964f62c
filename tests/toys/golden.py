"""Reference outputs of image–text encoders, and what they were made of: weights and images by rule.

The rule of weights is that of ``golden/rule_weights.py`` with the additions that ``golden/encoders`` describes.
"""

import ast
import importlib.util
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

NORMALISATIONS = {
    "OpenAI": (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD),
    "ImageNet": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "half": ((0.5,) * 3, (0.5,) * 3),
    "zero": ((0.0,) * 3, (1.0,) * 3),
}
SMALL = (
    *("pos_embed", "cls_token", "latent", "probe", "position_embedding", "positional_embedding"),
    *("class_embedding", "token_embedding"),
)


def golden_folder() -> Path:
    """The folder of the reference outputs; a test that asks for it is skipped where it is not here."""
    shared = Path(os.environ.get("DENSEVL_SHARED", Path(__file__).parents[3] / "shared"))
    if not (shared / "golden").is_dir():
        pytest.skip(f"no reference material at {shared}; DENSEVL_SHARED names its folder")
    return shared / "golden"


@cache
def golden(name: str) -> Mapping[str, np.ndarray]:
    """The outputs of one file of ``golden/encoders``."""
    with np.load(golden_folder() / "encoders" / f"{name}.npz") as file:
        return dict(file)


@cache
def rules() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rule_weights", golden_folder() / "rule_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rule_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor that depends on its name and shape alone."""
    x, last = rules()._normal(name, shape), name.removesuffix(".weight").rpartition(".")[2]
    if name.endswith(".weight") and ("norm" in last or last.startswith("ln")):
        made = 1 + 0.1 * x
    elif any(word in name for word in SMALL):
        made = 0.2 * x
    elif name.endswith((".gamma", "lambda1")):
        made = 0.3 + 0.1 * x
    elif name.endswith("image_projection") and x.ndim == 2:
        made = x / np.sqrt(x.shape[0])
    else:
        made = rules().rule_weight(name, shape)
    return torch.from_numpy(np.asarray(made, dtype=np.float32))


def rule_state(names: Iterable[str] | Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Tensors by rule, of a mapping from names to shapes or of rows such as ``"a.b (3, 4)"``."""
    if not isinstance(names, Mapping):
        parts = [str(row).partition(" ") for row in names]
        names = {name: ast.literal_eval(shape) for name, _, shape in parts}
    return {name: rule_weight(name, shape) for name, shape in names.items()}


def golden_image(name: str, size: int) -> Tensor:
    """An image by rule, RGB in [0, 1], (1, 3, size, size); an encoder normalises it itself."""
    return torch.from_numpy(rules().rule_image(name, size, size)).permute(2, 0, 1)[None] / 255


def assert_agrees(found: Tensor, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    """Agreement relative to the largest value."""
    wanted = torch.from_numpy(np.asarray(expected))
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()
