"""CLOC's prompter: one light layer that turns a ViT's tokens and a spatial hint into a vector of the joint space.

Source: Chen et al., Contrastive Localized Language-Image Pre-Training (CLOC), ICML 2025,
https://arxiv.org/abs/2410.02746. Neither code nor weights are public; this is our own reading of the paper. With f' the
tokens of an image before pooling, projection and normalisation, and h the tokens of a hint::

    z = normalise(W mean(Layer([h; f'])))          Layer: one single-head transformer encoder layer of the ViT's width
    box = BoxHead(z(y))                            two linear layers with GELU, for a text hint y

What the paper leaves open is an argument of :class:`Prompter`. The class token of the ViT is left out: a CLIP that
pools by averaging never trained it, and the grid alone has places.

Convention: places are (x, y) as shares of the padded image, 0 its left or upper edge and 1 its right or lower one.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from densevl.errors import UsageError

__all__ = ["BoxHead", "Prompter", "sinusoids"]

POOLS = ("all", "hint", "image")
KINDS = ("upper left", "lower right", "box", "point", "mask", "text")

AT_ONCE = 64
"""Hints whose sequences are run together, over all images of a batch."""


class Prompter(nn.Module):
    """Turns hints and the tokens of their images into unit vectors of the joint space; each hint by itself.

    Args:
        width: of the ViT.
        dim: of the joint space, and so of the text embeddings.
        frequencies: sines and cosines of each coordinate. 16 wavelengths from two images down to ``shortest``: the
            longest tells any two places apart, the shortest places within a patch of the usual grids of 14 to 24.
        shortest: wavelength, as a share of the image.
        corner_tokens: 2, one for each corner, as we read the paper, or 1 that holds both; two need no product of all
            pairs of corners to be learned.
        pool: which tokens are averaged: ``"all"``, the plain reading of global average pooling; ``"image"``; or
            ``"hint"``, which reads the answer off the hint alone and learns faster in a short training.
        feed_forward: inner width of the feed-forward part in multiples of ``width``; 4 as in the ViT.
        placed: add the encoding of its centre to each image token. The paper does not: its f' is trained along and can
            learn to keep places, where that of a frozen CLIP may have lost them.
        temperature: initial factor of the cosines between regions and texts. It is learned, apart from the factor of
            whole images, since region texts differ less from each other than captions.

    Raises:
        UsageError: where an argument has no meaning.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        frequencies: int = 16,
        shortest: float = 1 / 16,
        corner_tokens: int = 2,
        pool: str = "all",
        feed_forward: int | float = 4,
        placed: bool = False,
        temperature: int | float = 1 / 0.07,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise UsageError(f"pool must be one of {', '.join(POOLS)}; got {pool!r}")
        if corner_tokens not in (1, 2) or frequencies < 1 or not 0 < shortest <= 2:
            raise UsageError(
                "corner_tokens must be 1 or 2, frequencies at least 1 and shortest in (0, 2]; "
                f"got {corner_tokens}, {frequencies} and {shortest}"
            )
        self.settings = {
            "width": width, "dim": dim, "frequencies": frequencies, "shortest": shortest,
            "corner_tokens": corner_tokens, "pool": pool, "feed_forward": feed_forward, "placed": placed,
        }  # fmt: skip
        self.pool, self.corner_tokens, self.placed = pool, corner_tokens, placed
        self.frequencies, self.shortest = frequencies, shortest
        self.of_place = nn.Linear(4 * frequencies, width)
        self.of_box = nn.Linear(8 * frequencies, width) if corner_tokens == 1 else None
        self.of_mask = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.of_text = nn.Linear(dim, width)
        self.kinds = nn.Parameter(0.02 * torch.randn(len(KINDS), width))
        inner = int(feed_forward * width)
        self.ln_1, self.attend, self.mix = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.ln_post = nn.LayerNorm(width)
        self.project = nn.Linear(width, dim, bias=False)
        self.box_head = BoxHead(dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(temperature)))

    def forward(
        self,
        grid: Float[Tensor, "b c h w"],
        hints: Float[Tensor, "b m k c"],
        real: Bool[Tensor, "b m k"] | None = None,
    ) -> Float[Tensor, "b m d"]:
        """Embed m hints of each image.

        Args:
            grid: tokens of the images, on the patch grid.
            hints: up to k tokens a hint, of any kinds.
            real: which of them are there; the others are padding and change nothing. None for all. A hint without any
                token gets a vector too, of no use.
        """
        real = torch.ones(hints.shape[:3], dtype=torch.bool, device=hints.device) if real is None else real
        tokens = self._tokens(grid)
        projected = self.attend(self.ln_1(tokens))
        some = max(1, AT_ONCE // max(1, len(tokens)))
        parts = zip(hints.split(some, dim=1), real.split(some, dim=1), strict=True)
        return torch.cat([self._embed(tokens, projected, *part) for part in parts], dim=1)

    def boxes(self, boxes: Float[Tensor, "b m 4"]) -> Float[Tensor, "b m k c"]:
        """Hints of boxes (x0, y0, x1, y1)."""
        corners = sinusoids(boxes, self.frequencies, self.shortest).unflatten(2, (2, -1))
        if self.of_box is not None:
            return (self.of_box(corners.flatten(2)) + self._kind("box"))[:, :, None]
        return self.of_place(corners) + torch.stack([self._kind("upper left"), self._kind("lower right")])

    def points(self, points: Float[Tensor, "b m p 2"]) -> Float[Tensor, "b m p c"]:
        """Hints of p points each; the points of a hint have no order."""
        return self.of_place(sinusoids(points, self.frequencies, self.shortest)) + self._kind("point")

    def masks(self, grid: Float[Tensor, "b c h w"], shares: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m 1 c"]:
        """Hints of masks: the mean of the tokens in each, weighted.

        Args:
            grid: tokens of the images.
            shares: how much of each patch the mask covers; where it covers nothing, the mean is 0.
        """
        tokens, weights = grid.flatten(2).mT, shares.flatten(2)
        normed = self.of_mask[0](tokens)
        mean = weights @ normed / weights.sum(2, keepdim=True).clamp(min=1e-6)
        return (self.of_mask[1](mean) + self._kind("mask"))[:, :, None]

    def texts(self, texts: Float[Tensor, "b m d"]) -> Float[Tensor, "b m 1 c"]:
        """Hints of texts, given as their unit vectors."""
        return (self.of_text(texts) + self._kind("text"))[:, :, None]

    def _kind(self, name: str) -> Float[Tensor, " c"]:
        return self.kinds[KINDS.index(name)]

    def _tokens(self, grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
        tokens = grid.flatten(2).mT
        if not self.placed:
            return tokens
        rows, columns = ((torch.arange(side, device=grid.device) + 0.5) / side for side in grid.shape[2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        places = torch.stack([x, y], dim=-1).flatten(0, 1).to(self.kinds.dtype)
        return tokens + self.of_place(sinusoids(places, self.frequencies, self.shortest))

    def _embed(
        self,
        tokens: Float[Tensor, "b n c"],
        projected: Float[Tensor, "b n 3*c"],
        hints: Float[Tensor, "b m k c"],
        real: Bool[Tensor, "b m k"],
    ) -> Float[Tensor, "b m d"]:
        """The layer over [hint; image] of every hint, pooled; the image's own projections are shared by the hints."""
        count, taken = hints.shape[1], hints.shape[2]
        x = torch.cat([hints, _repeated(tokens, count).to(hints.dtype)], dim=2)
        own = self.attend(self.ln_1(hints))
        query, key, value = torch.cat([own, _repeated(projected, count).to(own.dtype)], dim=2).chunk(3, dim=-1)
        there = torch.cat([real, real.new_ones(()).expand(*real.shape[:2], tokens.shape[1])], dim=2)
        kept = {"all": slice(None), "hint": slice(taken), "image": slice(taken, None)}[self.pool]
        likeness = (query[:, :, kept] * query.shape[-1] ** -0.5) @ key.mT
        weights = likeness.masked_fill(~there[:, :, None], float("-inf")).softmax(dim=-1)
        x = x[:, :, kept] + self.mix(weights @ value)
        x = self.ln_post(x + self.mlp(self.ln_2(x)))
        counted = there[:, :, kept, None].to(x.dtype)
        mean = (x * counted).sum(2) / counted.sum(2).clamp(min=1)
        vectors = self.project(mean)
        return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


class BoxHead(nn.Module):
    """Two linear layers with GELU that tell where a text's region lies, from the vector of its text hint.

    Args:
        dim: of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 4))

    def forward(self, vectors: Float[Tensor, "*b d"]) -> Float[Tensor, "*b 4"]:
        """Boxes (x0, y0, x1, y1); nothing keeps them inside the image or in order, as squared errors want it."""
        return self.layers(vectors)


def sinusoids(values: Float[Tensor, "*b n"], frequencies: int, shortest: float) -> Float[Tensor, "*b m"]:
    """Sines and cosines of each of n values, one after the other, m = 2 · frequencies · n.

    Args:
        values: in [0, 1].
        frequencies: how many, geometrically spaced.
        shortest: wavelength of the last; that of the first is 2.
    """
    exponents = torch.linspace(0, 1, frequencies, dtype=values.dtype, device=values.device)
    angles = values[..., None] * (math.pi * (2 / shortest) ** exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def _repeated(tokens: Float[Tensor, "b n c"], count: int) -> Float[Tensor, "b {count} n c"]:
    return tokens[:, None].expand(-1, count, -1, -1)
