"""Prompt denoising and key smoothing of class probabilities on the patch grid.

Source: MaskCLIP (Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022).

Where we differ from the reference code of key smoothing: it normalises the keys over the tokens where the paper says
that keys are compared, so that a weight depends on how many patches there are, and it leaves the weights unnormalised
and signed, so that its result is no distribution. Ours compares keys by their cosine, drops negative weights and
divides by their sum; ``legacy=True`` computes what the reference code does.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["KeySmoothing", "PromptDenoising", "denoise", "smooth_by_keys"]

WEIGHTS_AT_ONCE = 2**24
"""Entries of the patch-by-patch weight matrix that are held together: 64 MiB in float32."""


def denoise(probabilities: Float[Tensor, "n k h w"], threshold: float = 0.5) -> Float[Tensor, "n k h w"]:
    """Prompt denoising: drop the classes that no patch of the image is sure of.

    A class whose best probability over all windows stays below the threshold gets probability 0, and the others share
    what it leaves, which equals a softmax over the classes that remain. Where no class reaches the threshold, nothing
    changes.

    Args:
        probabilities: of the n windows of one image, summing to 1 over the classes.
        threshold: least best probability of a class that is kept; 0.5 in the reference code.
    """
    keep = probabilities.amax(dim=(0, 2, 3)) >= threshold
    if not keep.any():
        return probabilities
    kept = probabilities * keep[:, None, None]
    total = kept.sum(dim=1, keepdim=True)
    # A patch that gave all its probability to dropped classes (to the last bit) knows nothing of the others.
    unknown = keep[:, None, None] / keep.sum()
    return torch.where(total > 0, kept / total.clamp_min(torch.finfo(kept.dtype).tiny), unknown)


def smooth_by_keys(
    probabilities: Float[Tensor, "n k h w"],
    keys: Float[Tensor, "n c h w"] | None,
    threshold: float,
    legacy: bool = False,
) -> Float[Tensor, "n k h w"]:
    """Key smoothing: an uncertain patch takes the probabilities of the patches whose keys are like its own.

    Args:
        probabilities: of each window by itself.
        keys: keys of the last attention on the same grid, heads concatenated.
        threshold: patches whose best probability is below this are replaced.
        legacy: weights as in the reference code; the result is then no distribution, but its argmax is the published
            method's.

    Raises:
        UsageError: where keys are missing or of another grid.
    """
    if keys is None or keys.shape[2:] != probabilities.shape[2:] or len(keys) != len(probabilities):
        came = "none" if keys is None else f"{tuple(keys.shape)}"
        raise UsageError(
            f"key smoothing needs keys on the grid of the probabilities {tuple(probabilities.shape)}; got {came}; "
            "ask the encoder for keys"
        )
    flat = probabilities.flatten(2).mT
    units = F.normalize(keys.to(flat.dtype).flatten(2).mT, dim=1 if legacy else 2)
    smoothed = flat.clone()
    for result, before, unit in zip(smoothed, flat, units, strict=True):
        uncertain = (before.amax(dim=1) < threshold).nonzero().squeeze(1)
        for rows in uncertain.split(max(1, WEIGHTS_AT_ONCE // len(unit))):
            weights = unit[rows] @ unit.mT
            if not legacy:
                weights = F.normalize(weights.clamp_min_(0), p=1, dim=1)
            result[rows] = weights @ before
    return smoothed.mT.unflatten(2, probabilities.shape[2:])


@dataclass(frozen=True)
class PromptDenoising:
    """Prompt denoising as a stage of a segmentor; see :func:`denoise`.

    Attributes:
        threshold: least best probability, in [0, 1], of a class that is kept.
    """

    threshold: float = 0.5

    needs = Needs()

    def __post_init__(self) -> None:
        _check_probability("prompt denoising", self.threshold)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("prompt-denoising", self)

    def __call__(self, probabilities: Float[Tensor, "n k h w"], features: DenseFeatures) -> Float[Tensor, "n k h w"]:
        """Drop the classes that no patch of the image is sure of."""
        return denoise(probabilities, self.threshold)


@dataclass(frozen=True)
class KeySmoothing:
    """Key smoothing as a stage of a segmentor; see :func:`smooth_by_keys`.

    Attributes:
        threshold: patches whose best probability is below this, in [0, 1], are replaced.
        legacy: weights as in the reference code.
    """

    threshold: float = 0.5
    legacy: bool = False

    needs = Needs(keys=True)

    def __post_init__(self) -> None:
        _check_probability("key smoothing", self.threshold)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("key-smoothing", self)

    def __call__(self, probabilities: Float[Tensor, "n k h w"], features: DenseFeatures) -> Float[Tensor, "n k h w"]:
        """Give uncertain patches what patches with like keys have."""
        return smooth_by_keys(probabilities, features.keys, self.threshold, self.legacy)


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"the threshold of {name} is a probability between 0 and 1; got {value}")
