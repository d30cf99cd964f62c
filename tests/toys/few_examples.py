"""Texts and examples of random vectors, and the arrays of reference outputs."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from densevl.classifiers.contracts import Examples
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

MODEL = "tiny@1"


def texts_of(vectors: Tensor, model: str = MODEL) -> TextEmbeddings:
    """A vocabulary whose classes have one text each."""
    vocabulary = Vocabulary("reference", tuple((f"class {i}",) for i in range(len(vectors))))
    return TextEmbeddings(vectors, torch.arange(len(vectors)), vocabulary, model, "none")


def arrays(shared: Path, name: str) -> dict[str, Tensor]:
    """The arrays of a file of reference outputs; what is stored in half precision comes in single precision."""
    data = np.load(shared / "golden" / "adapters" / f"{name}.npz")
    found = {key: torch.from_numpy(np.asarray(value)) for key, value in data.items()}
    return {key: value.float() if value.dtype == torch.float16 else value for key, value in found.items()}


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare with a tolerance relative to the largest number."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def units(*size: int, seed: int = 0) -> Tensor:
    """Random unit vectors."""
    return F.normalize(torch.randn(*size, generator=torch.Generator().manual_seed(seed)), dim=-1)


def clusters(classes: int, shots: int, width: int = 12, spread: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit vectors about random centres, which the seed 0 gives, and their labels, class by class."""
    draw = torch.Generator().manual_seed(seed + 1)
    centres = units(classes, width).repeat_interleave(shots, 0)
    labels = torch.arange(classes).repeat_interleave(shots)
    return F.normalize(centres + spread * torch.randn(len(centres), width, generator=draw) / width**0.5, dim=1), labels


def few_shot_task(classes: int = 3, shots: int = 8, seed: int = 0) -> tuple[TextEmbeddings, Examples, Examples]:
    """Texts that are loosely about clusters, examples, and other examples to test on."""
    texts = texts_of(F.normalize(units(classes, 12) + units(classes, 12, seed=9), dim=1))
    train, test = (Examples(*clusters(classes, count, seed=seed + i), MODEL) for i, count in enumerate((shots, 30)))
    return texts, train, test
