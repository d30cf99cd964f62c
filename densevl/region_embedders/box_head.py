"""CLOC's head that tells a box from the vector of a text; see :mod:`densevl.region_embedders.prompter`."""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["BoxHead"]


class BoxHead(nn.Module):
    """Two linear layers with GELU that tell where a text's region lies, from the vector of its text hint.

    The unit vectors are scaled to values of about 1, for which the layers' first weights are made.

    Args:
        dim: of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 4))

    def forward(self, vectors: Float[Tensor, "*b d"]) -> Float[Tensor, "*b 4"]:
        """Boxes (x0, y0, x1, y1); nothing keeps them inside the image or in order, as squared errors want it."""
        return self.layers(vectors * vectors.shape[-1] ** 0.5)
