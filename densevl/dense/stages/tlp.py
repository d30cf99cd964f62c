"""PEARL's label propagation: scores flow over a small grid, where the image has no edges, away from sure places.

Source: PEARL, CVPR 2026; reference code PGSmall/PEARL at commit c26062b. With Z the cosines of the queries t and the
image, both averaged over cells of ``round(side / grid)`` pixels, what is left of a side being dropped::

    p = softmax_c(Z)       S = softmax of t tᵀ / 0.5 by rows, + 10 I, rows to sum 1       s_c = S_cc
    C_i  = max(max_c p_ic, 0.05)² (1 + Σ_c p_ic² s_c)                       confidence of cell i
    w_ij = min(1, e^{−5 |g_i − g_j| / mean} (1 + Σ_c p_ic p_jc s_c))        of neighbours, g gray as the encoder sees it
    (C + L_w) F = C Z      by 25 conjugate-gradient steps from Z; F is stretched over the image

The mean is that of all neighbours side by side, or of all that stand on each other. The published code, and so this,
reads the diagonal of S alone; it takes all queries as one system, so that every step depends on all of them; and 25
steps do not reach the solution. Where we differ: nothing for the published input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip import OPENAI_DATASET_STD
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size
from densevl.dense.contracts import named
from densevl.dense.operations.graph import conjugate_gradients
from densevl.encoders.contracts import Needs

__all__ = ["TextLaplacian", "self_likeness"]

GRAY = (0.299, 0.587, 0.114)
TEXT_TEMPERATURE, OWN_WEIGHT = 0.5, 10.0
EDGE, LEAST_CONFIDENCE, EPSILON = 5.0, 0.05, 1e-6


def self_likeness(texts: Float[Tensor, "q d"]) -> Float[Tensor, " q"]:
    """The diagonal of S: how much a text is like itself beside the others.

    Args:
        texts: unit vectors.
    """
    own = (texts @ texts.mT / TEXT_TEMPERATURE).softmax(dim=1).diagonal()
    return (own + OWN_WEIGHT) / (1 + OWN_WEIGHT)


@dataclass(frozen=True)
class TextLaplacian:
    """Label propagation as a stage of a segmentor, on cosines of queries; see above.

    Attributes:
        grid: cells that a side is brought to, about; 224 on Cityscapes.
        steps: of conjugate gradients.
        std: standard deviation of each channel that the encoder was trained with.
    """

    grid: int = 80
    steps: int = 25
    std: Sequence[float] = OPENAI_DATASET_STD

    on_pixels = True
    needs = Needs(images=True, texts=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", tuple(self.std))
        if self.grid < 1 or self.steps < 1 or len(self.std) != 3 or min(self.std) <= 0:
            raise UsageError(
                "TLP takes a grid of one cell or more, one step or more, and three standard deviations above 0; "
                f"got {self.grid}, {self.steps} and {self.std}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("tlp", self)

    def __call__(
        self, scores: Float[Tensor, "q H W"], image: Float[Tensor, "3 H W"], texts: TextEmbeddings
    ) -> Float[Tensor, "q H W"]:
        """Let the cosines of an image flow.

        Args:
            scores: of each query.
            image: RGB in [0, 1].
            texts: the queries.

        Raises:
            UsageError: where the scores are not those of the queries.
        """
        if len(scores) != len(texts.vectors):
            raise UsageError(
                f"TLP changes cosines of queries, {len(texts.vectors)} here, and got {len(scores)} scores; "
                "take average=logits"
            )
        size = (scores.shape[1], scores.shape[2])
        start = F.avg_pool2d(scores[None].float(), self.cell(size))[0]
        solved = self.on_cells(start, image, texts)
        return F.interpolate(solved[None], size, mode="bilinear", align_corners=False)[0].to(scores.dtype)

    def cell(self, size: Size) -> Size:
        """Pixels (down, right) of a cell of an image.

        Args:
            size: of the image.
        """
        return max(1, round(size[0] / self.grid)), max(1, round(size[1] / self.grid))

    def on_cells(
        self, start: Float[Tensor, "q h w"], image: Float[Tensor, "3 H W"], texts: TextEmbeddings
    ) -> Float[Tensor, "q h w"]:
        """Let the cosines of cells flow.

        Args:
            start: means over the cells.
            image: RGB in [0, 1], of whole size.
            texts: the queries.
        """
        cell = self.cell((image.shape[1], image.shape[2]))
        weigh = torch.tensor(GRAY, device=image.device) / torch.tensor(self.std, device=image.device)
        gray = torch.einsum("c,chw->hw", weigh, F.avg_pool2d(image[None].float(), cell)[0]).to(start.device)
        likeness = self_likeness(texts.vectors.to(start))[:, None, None]
        return self._solve(start, gray, likeness)

    def _solve(
        self, start: Float[Tensor, "q h w"], gray: Float[Tensor, "h w"], likeness: Float[Tensor, "q 1 1"]
    ) -> Float[Tensor, "q h w"]:
        shares = start.softmax(dim=0)
        agreement = (shares.square() * likeness).sum(0)
        confidence = shares.amax(0).clamp(min=LEAST_CONFIDENCE).square() * (1 + agreement)
        weighed = shares * likeness
        across = _edges(gray.diff(dim=1), (weighed[:, :, 1:] * shares[:, :, :-1]).sum(0))
        down = _edges(gray.diff(dim=0), (weighed[:, 1:] * shares[:, :-1]).sum(0))

        def multiply(x: Float[Tensor, "q h w"]) -> Float[Tensor, "q h w"]:
            flow_across, flow_down = across * x.diff(dim=2), down * x.diff(dim=1)
            out = confidence * x
            out[:, :, 1:] += flow_across
            out[:, :, :-1] -= flow_across
            out[:, 1:] += flow_down
            out[:, :-1] -= flow_down
            return out

        missing = confidence * start - multiply(start)
        return start + conjugate_gradients(multiply, missing, self.steps, along=(0, 1, 2))


def _edges(steps: Float[Tensor, "h w"], agreement: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Weights of neighbours in one direction, of the steps of gray between them."""
    steps = steps.abs()
    return ((-EDGE * steps / (steps.mean() + EPSILON)).exp() * (1 + agreement)).clamp(max=1)
