"""FOUND: where the things are, by a linear reading of DINO's keys.

Source: Siméoni et al., Unsupervised Object Localization: Observing the Background to Discover Objects, CVPR 2023,
https://arxiv.org/abs/2212.07834; reference code valeoai/FOUND. With k the keys of DINO ViT-S/8's last block, heads
concatenated and not normalised::

    s = w · k + b          logit of a patch showing a thing rather than background

Thresholds and refinements of that method (bilateral solver) are left out.
"""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from densevl.weights import check_state_dict
from densevl.weights.opened import open_weights

__all__ = ["FoundDecoder", "build_found"]


class FoundDecoder(nn.Conv2d):
    """A 1x1 convolution from keys to foreground logits.

    Args:
        width: channels of the keys.
    """

    def __init__(self, width: int = 384) -> None:
        super().__init__(width, 1, 1)

    def forward(self, keys: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Logit of each patch showing a thing."""
        return super().forward(keys.to(self.weight.dtype))[:, 0]


def build_found(weights: str | Path = "found", *, offline: bool = False) -> FoundDecoder:
    """The decoder in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, or a file that holds ``weight (1, width, 1, 1)`` and ``bias (1,)``.
        offline: never reach for the network.

    Raises:
        UsageError: where the name is unknown.
        WeightsError: where the weights are missing, damaged or of another shape.
    """
    opened = open_weights(weights, offline)
    weight = opened.state.get("weight")
    decoder = FoundDecoder(384 if weight is None or weight.ndim != 4 else weight.shape[1])
    check_state_dict(opened.state, decoder.state_dict(), opened.path)
    decoder.load_state_dict(opened.state)
    return decoder.float().eval().requires_grad_(False)
