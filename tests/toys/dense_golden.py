"""Reference outputs of dense heads: their files, and the images, texts and features by rule that they were made of.

Every constant of a case is read from its file, so that other files of the same names can stand in their place.
"""

import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from toys.golden import golden_folder, rules

from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

TOLERANCE = 1e-4


@cache
def outputs(name: str) -> Mapping[str, Any]:
    """The arrays of a file of ``golden/dense``; those without axes as plain values."""
    with np.load(golden_folder() / "dense" / f"{name}.npz") as file:
        return {key: file[key] if file[key].ndim else file[key].item() for key in file.files}


@cache
def features() -> ModuleType:
    """The rules of tokens and scores."""
    sys.modules["rule_weights"] = rules()
    path = golden_folder() / "dense" / "rule_features.py"
    spec = importlib.util.spec_from_file_location("rule_features", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    del sys.modules["rule_weights"]
    return module


def picture(case: Mapping[str, Any], name: str | None = None) -> Tensor:
    """The image of a case, RGB in [0, 1], "3 H W"."""
    pixels = rules().rule_image(name or case["image"], *case["size"].tolist())
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def tokens(name: str, grid: tuple[int, int], dim: int) -> Tensor:
    """Tokens of another model by rule, "dim h w"."""
    made = features().rule_tokens(name, *grid, dim)
    return torch.from_numpy(made).T.unflatten(1, grid)


def cosines(grid: Tensor, text: np.ndarray) -> Tensor:
    """Cosines of a map "d h w" with texts."""
    return torch.einsum("kd,dhw->khw", torch.from_numpy(text), F.normalize(grid, dim=0))


def assert_close(found: Tensor, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    """The largest difference is a small part of the largest value."""
    wanted = torch.from_numpy(np.asarray(expected))
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def assert_features(grid: Tensor, case: Mapping[str, Any], tolerance: float = TOLERANCE) -> None:
    """A map "d h w" agrees with the common arrays of a case."""
    assert_close(grid[::8], case["features_sub"], tolerance)
    found = cosines(grid, case["text"])
    assert_close(found, case["similarity"], tolerance)
    assert (found.argmax(0).numpy() == case["labels"]).mean() >= 0.999


def vocabulary_of(case: Mapping[str, Any], model_id: str) -> TextEmbeddings:
    """The texts of a case of a whole protocol, several queries to a class, with its threshold."""
    classes = case["query_class"].tolist()
    words = tuple(tuple(f"query {q}" for q, c in enumerate(classes) if c == k) for k in range(max(classes) + 1))
    return TextEmbeddings(
        torch.from_numpy(case["text"]),
        torch.tensor(classes),
        Vocabulary("reference", words, background=0),
        model_id,
        "none",
        threshold=float(case["threshold"]),
    )


def texts_of(case: Mapping[str, Any], model_id: str) -> TextEmbeddings:
    """The texts of a case, each a class."""
    words = tuple((f"text {i}",) for i in range(len(case["text"])))
    vectors, vocabulary = torch.from_numpy(case["text"]), Vocabulary("reference", words)
    return TextEmbeddings(vectors, torch.arange(len(words)), vocabulary, model_id, "none")
