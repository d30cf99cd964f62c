"""LPOSS+: scores flow between the pixels of an image that lie near each other and have the same colour.

Source: as :mod:`densevl.dense.stages.lposs`. The nodes are pixels, with Z the scores that came of the patches, and the
neighbours of a pixel are those of the square of 13 × 13 around it, itself left out::

    W_ij = exp(−|c_i − c_j| / 0.01)        c = (L / 100, a / 128, b / 128) of CIE L*a*b*
    Ŵ = D^−½ W D^−½                        (I − 0.95 Ŵ) F = Z

F is what 10 steps of conjugate gradients from 0 have come to. The reference code works on the resized image; ours on
the image as given, or, by ``short_side``, on a smaller one, whose scores then go back to all pixels. F is multiplied by
1 − α, which changes no label.

No list of edges is made: an offset of the square at a time, a band of rows that stays in a processor's cache. Each edge
has its weight once; for large images it is made anew in each step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size, resized_size
from densevl.dense.contracts import named
from densevl.dense.operations.graph import propagate
from densevl.dense.operations.lab import lab
from densevl.encoders.contracts import Needs

__all__ = ["LPOSSPixels", "PixelGraph"]

WEIGHTS_KEPT = 2**26
"""Weights of edges that are kept: 256 MiB in float32; where there are more they are made when they are needed."""

BAND = 2**19
"""Scores of a band of rows on a processor: 2 MiB in float32, which stay in its cache."""

SPREAD = (100.0, 128.0, 128.0)
"""By which L, a and b are divided."""


class PixelGraph:
    """Pixels joined with those of the square around each, by how alike their colours are.

    Args:
        colours: of the pixels.
        tau: distance of colours at which a weight has fallen to 1/e.
        reach: of the square in pixels.
        kept: most weights that are kept.
    """

    def __init__(
        self, colours: Float32[Tensor, "c H W"], tau: int | float, reach: int, kept: int = WEIGHTS_KEPT
    ) -> None:
        self.height, self.width = colours.shape[1:]
        self.tau = tau
        self.down, self.right = min(reach, self.height - 1), min(reach, self.width - 1)
        self.steps = [
            (y, x) for y in range(self.down + 1) for x in range(-self.right, self.right + 1) if y > 0 or x > 0
        ]
        self.colours = self._padded(colours, value=torch.inf)
        self._kept: Tensor | None = None
        if self.steps and len(self.steps) * self.colours[0].numel() <= kept:
            self._kept = torch.stack([self._weights(step, 0, self.height + self.down) for step in self.steps])

    def _padded(self, values: Tensor, value: float = 0.0) -> Tensor:
        """Values with a margin as wide as the square reaches."""
        return F.pad(values, (self.right, self.right, self.down, self.down), value=value)

    def _weights(self, step: tuple[int, int], first: int, last: int) -> Float32[Tensor, "h W2"]:
        """Weights between padded rows ``first`` to ``last`` and the pixels one step on, 0 where either is outside."""
        y, x = step
        wide = self.colours.shape[2]
        inner = slice(max(0, -x), wide - max(0, x))
        other = slice(max(0, x), wide - max(0, -x))
        here, there = self.colours[:, first:last, inner], self.colours[:, first + y : last + y, other]
        distances = (here - there).nan_to_num(nan=torch.inf).square().sum(0).sqrt()
        return F.pad(torch.exp(-distances / self.tau), (inner.start, wide - inner.stop))

    def neighbours(self, scores: Float32[Tensor, "k H W"]) -> Float32[Tensor, "k H W"]:
        """Sums of the scores of the neighbours of each pixel, weighted."""
        padded = self._padded(scores)
        found = torch.zeros_like(scores)
        for first, last in self._bands(scores):
            band = found[:, first:last]
            for index, (y, x) in enumerate(self.steps):
                columns = slice(self.right, self.right + self.width)
                ahead = slice(columns.start + x, columns.stop + x)
                behind = slice(columns.start - x, columns.stop - x)
                rows = slice(self.down + first, self.down + last)
                weights = self._weights_of(index, rows.start - y, rows.stop)
                before = slice(rows.start - y, rows.stop - y)
                band.addcmul_(weights[y:, columns], padded[:, rows.start + y : rows.stop + y, ahead])
                band.addcmul_(weights[: last - first, behind], padded[:, before, behind])
        return found

    def _weights_of(self, index: int, first: int, last: int) -> Float32[Tensor, "h W2"]:
        if self._kept is not None:
            return self._kept[index, first:last]
        return self._weights(self.steps[index], first, last)

    def _bands(self, scores: Tensor) -> Iterator[tuple[int, int]]:
        """First and last rows of bands; one for all rows on other devices, where they need no cache."""
        rows = self.height
        if scores.device.type == "cpu" or self._kept is None:
            rows = max(1, BAND // max(1, len(scores) * self.width))
        for first in range(0, self.height, rows):
            yield first, min(first + rows, self.height)

    @property
    def degrees(self) -> Float32[Tensor, "1 H W"]:
        """Sums of the weights of each pixel."""
        return self.neighbours(self.colours.new_ones(1, self.height, self.width))


@dataclass(frozen=True)
class LPOSSPixels:
    """Label propagation over pixels, as a stage of a segmentor.

    Attributes:
        tau: distance of colours at which a weight has fallen to 1/e.
        reach: pixels that the square of neighbours goes out from its middle: 6 for 13 × 13.
        alpha: from 0 up to 1, how much neighbours count.
        steps: of conjugate gradients.
        tolerance: a class is left as it is where its residual is this part of its scores, or less.
        short_side: of the image on which scores flow, where it is larger; None for the image as given.

    Raises:
        UsageError: where a setting is out of range.
    """

    tau: int | float = 0.01
    reach: int = 6
    alpha: int | float = 0.95
    steps: int = 10
    tolerance: int | float = 1e-6
    short_side: int | None = None

    on_pixels = True
    class_by_class = True
    needs = Needs(images=True)

    def __post_init__(self) -> None:
        if not self.tau > 0 or self.reach < 1 or self.steps < 1 or not 0 <= self.alpha < 1:
            raise UsageError(
                "lposs-pixels takes a tau above 0, a reach of one pixel or more, one step or more, and an alpha from 0 "
                f"up to 1; got {self.tau}, {self.reach}, {self.steps} and {self.alpha}"
            )
        if self.short_side is not None and self.short_side < 1:
            raise UsageError(f"short_side of lposs-pixels is a number of pixels, or none; got {self.short_side}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("lposs-pixels", self)

    def __call__(self, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"]) -> Float[Tensor, "k H W"]:
        """Let the scores of an image flow.

        Args:
            scores: of each class or query.
            image: of the same size, RGB in [0, 1].
        """
        return self.prepare(image.float().to(scores.device))(scores)

    def prepare(self, image: Float[Tensor, "3 H W"]) -> Callable[[Float[Tensor, "k H W"]], Float[Tensor, "k H W"]]:
        """The flow of an image, whose graph is made once for any number of scores.

        Args:
            image: RGB in [0, 1].
        """
        size = (image.shape[1], image.shape[2])
        small = size
        if self.short_side is not None and min(size) > self.short_side:
            small = resized_size(size, self.short_side, max(size))
        spread = torch.tensor(SPREAD, device=image.device)[:, None, None]
        graph = PixelGraph(lab(_shrunk(image.float(), small)) / spread, self.tau, self.reach)
        degrees = graph.degrees

        def flow(scores: Float[Tensor, "k H W"]) -> Float[Tensor, "k H W"]:
            few = _shrunk(scores.float(), small)
            found = propagate(graph.neighbours, degrees, few, self.alpha, self.steps, self.tolerance, along=(1, 2))
            found = (1 - self.alpha) * found
            if small != size:
                found = F.interpolate(found[None], size, mode="bilinear", align_corners=False)[0]
            return found.to(scores.dtype)

        return flow


def _shrunk(values: Float[Tensor, "c H W"], size: Size) -> Float[Tensor, "c h w"]:
    """Values on a smaller grid of pixels; the same where it is their own."""
    if values.shape[1:] == size:
        return values
    return F.interpolate(values[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
