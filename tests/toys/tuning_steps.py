"""Steps of tuning, of random unit vectors."""

import torch
from torch.nn.functional import normalize

from densevl.encoders.tuning.contracts import Look
from densevl.training.tuning.contracts import Step


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random unit vectors."""
    return normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def step_of(vectors: tuple[int, int], classes: int, temperature: float = 100.0, seed: int = 0) -> Step:
    """A step of (examples, width) random vectors."""
    labels = torch.randint(classes, vectors[:1], generator=torch.Generator().manual_seed(seed))
    names = [f"class {index}" for index in range(classes)]
    texts = units(classes, vectors[1], seed=seed + 1)
    return Step(Look(units(*vectors, seed=seed)), labels, texts, names, temperature)
