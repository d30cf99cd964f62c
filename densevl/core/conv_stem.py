"""A convolutional stem in the place of a transformer's linear patch embedding, as the mini models have it.

From scratch and in a short training the linear one does not learn shape (Xiao et al., Early Convolutions Help
Transformers See Better, NeurIPS 2021).
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ConvStem"]


class ConvStem(nn.Sequential):
    """Patch embedding by strided 3x3 convolutions: pixels to one token for each patch of eight.

    Nothing in it depends on the batch or on statistics of the image: normalisation is over the channels of one place.
    """

    def __init__(self, width: int, channels: tuple[int, int]):
        first, second = channels
        super().__init__(
            nn.Conv2d(3, first, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            ResidualConv(second),
            nn.Conv2d(second, width, 3, stride=2, padding=1),
            ResidualConv(width),
        )

    @property
    def weight(self) -> Tensor:
        """Weight of the first convolution: open_clip reads the device and dtype of ``visual.conv1`` from it."""
        return self[0].weight  # type: ignore[return-value]


class ResidualConv(nn.Module):
    """``x + conv(gelu(conv(norm(x))))``, of unchanged size."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        normalised = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.conv2(F.gelu(self.conv1(normalised)))
