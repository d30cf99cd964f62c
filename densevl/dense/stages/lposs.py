"""LPOSS: scores flow between the patches of all windows of an image that look alike and lie near each other.

Source: Stojnić et al., LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic Segmentation, CVPR
2025, https://arxiv.org/abs/2503.19777; reference code vladan-stojnic/LPOSS at commit e489a74. The nodes are the patches
of all windows, with Z their cosines with the texts and *keys* what the values of DINO say of them::

    w_ij = max(0, cos(key_i, key_j))³ · exp(−0.01 · distance_ij in pixels)     for the 400 nearest by key, i among them
    W = w + wᵀ, no diagonal        Ŵ = D^−½ W D^−½        (I − 0.95 Ŵ) F = Z

F is what 10 steps of conjugate gradients from 0 have come to; the reference code stops there, 1.4 % away from the
solution. Of each window the scores then go back to its pixels, as they would without.

Where we differ: fewer than 400 patches are joined with all of them, where the reference code fails; F is multiplied by
1 − α, which makes means of cosines of it and changes no label. Keys are whatever the features have: by the refiner
``guide-keys`` those of DINO, as published, otherwise those of the encoder itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.contracts import named
from densevl.dense.operations.graph import nearest_graph, propagate
from densevl.encoders.contracts import Needs, Window

__all__ = ["LPOSS", "patch_centres"]


@dataclass(frozen=True)
class LPOSS:
    """Label propagation over patches, as a stage of a segmentor.

    Attributes:
        neighbours: patches that each is joined with, itself among them; all where there are fewer.
        gamma: power of the cosines of keys.
        sigma: of the distance, by pixel of the resized image; 0 leaves places out.
        power: of the distance.
        alpha: from 0 up to 1, how much neighbours count.
        steps: of conjugate gradients.
        tolerance: a class is left as it is where its residual is this part of its scores, or less.

    Raises:
        UsageError: where a setting is out of range.
    """

    neighbours: int = 400
    gamma: int | float = 3.0
    sigma: int | float = 0.01
    power: int | float = 1.0
    alpha: int | float = 0.95
    steps: int = 10
    tolerance: int | float = 1e-6

    acts_on = "cosines"
    needs = Needs(keys=True, windows=True)

    def __post_init__(self) -> None:
        if (
            self.neighbours < 1
            or self.steps < 1
            or not 0 <= self.alpha < 1
            or not all(setting >= 0 for setting in (self.gamma, self.sigma, self.power))
        ):
            raise UsageError(
                "lposs takes one neighbour or more, one step or more, an alpha from 0 up to 1, and others from "
                f"0 on; got {self.name}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("lposs", self)

    def __call__(
        self, cosines: Float[Tensor, "n q h w"], features: DenseFeatures, *, windows: Sequence[Window]
    ) -> Float[Tensor, "n q h w"]:
        """Let the cosines of the windows of one image flow.

        Args:
            cosines: with each text.
            features: with keys.
            windows: boxes of the windows in the image.

        Raises:
            UsageError: where the features have no keys on the grid of the cosines.
        """
        keys = features.keys
        if keys is None or keys.shape[2:] != cosines.shape[2:] or len(keys) != len(cosines):
            came = "none" if keys is None else f"{tuple(keys.shape)}"
            raise UsageError(
                f"lposs needs keys on the grid of the cosines {tuple(cosines.shape)}; got {came}; "
                "ask the encoder for keys, or take the refiner `guide-keys`"
            )
        descriptors = keys.movedim(1, -1).flatten(0, 2)
        seeds = cosines.float().movedim(1, -1).flatten(0, 2)
        graph = nearest_graph(
            descriptors, patch_centres(features, windows), self.neighbours, self.gamma, self.sigma, self.power
        )
        found = propagate(graph.neighbours, graph.degrees, seeds, self.alpha, self.steps, self.tolerance)
        found = (1 - self.alpha) * found
        return found.unflatten(0, (len(keys), *keys.shape[2:])).movedim(-1, 1).to(cosines.dtype)


def patch_centres(features: DenseFeatures, windows: Sequence[Window]) -> Float32[Tensor, "n 2"]:
    """Row and column, in pixels of the image, of the centres of the patches of all windows, in reading order.

    Args:
        features: of the windows.
        windows: (left, top, right, bottom) of each.
    """
    rows, columns = features.grid.shape[2:]
    patch = features.patch_size
    left, top, right, bottom = features.extent or (0, 0, columns * patch, rows * patch)
    ys = top + (torch.arange(rows) + 0.5) * ((bottom - top) / rows)
    xs = left + (torch.arange(columns) + 0.5) * ((right - left) / columns)
    corners = torch.tensor([[window[1], window[0]] for window in windows])
    centres = torch.cartesian_prod(ys, xs)
    return (corners[:, None] + centres).flatten(0, 1).to(features.grid.device, torch.float32)
