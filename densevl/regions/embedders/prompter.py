"""CLOC's prompter: one light layer that turns a ViT's tokens and a spatial hint into a vector of the joint space.

Source: Chen et al., Contrastive Localized Language-Image Pre-Training (CLOC), ICML 2025,
https://arxiv.org/abs/2410.02746. Neither code nor weights are public; this is our own reading of the paper. With f' the
tokens of an image before pooling, projection and normalisation, and h the tokens of a hint::

    z = normalise(W mean(Layer([h; f'])))          Layer: one single-head transformer encoder layer of the ViT's width
    box = BoxHead(z(y))                            two linear layers with GELU, for a text hint y

What the paper leaves open is an argument of :class:`Prompter`. The class token of the ViT is left out: a CLIP that
pools by averaging never trained it, and the grid alone has places.

Convention: places are (x, y) as fractions of the padded image, 0 its left or upper edge and 1 its right or lower one.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from densevl.core.errors import UsageError

__all__ = ["BoxHead", "Prompter", "sinusoids"]

POOLS = ("all", "hint", "image")
KINDS = ("upper left", "lower right", "box", "point", "mask", "text")

AT_ONCE = 64
"""Hints whose sequences are run together, over all images of a batch."""

HINTS_AT_ONCE = 4096
"""The same where the hints alone are pooled."""


class Prompter(nn.Module):
    """Turns hints and the tokens of their images into unit vectors of the joint space; each hint by itself.

    Args:
        width: of the ViT.
        dim: of the joint space, and so of the text embeddings.
        frequencies: sines and cosines of each coordinate. 16 wavelengths from two images down to ``shortest``: the
            longest tells any two places apart, the shortest places within a patch of the usual grids of 14 to 24.
        shortest: wavelength, as a fraction of the image.
        corner_tokens: 2, one for each corner, as we read the paper, or 1 that holds both; two need no product of all
            pairs of corners to be learned.
        pool: which tokens are averaged: ``"all"``, the literal reading of global average pooling; ``"image"``; or
            ``"hint"``, which reads the answer off the hint alone and learns faster in a short training.
        feed_forward: inner width of the feed-forward layers in multiples of ``width``; 4 as in the ViT.
        placed: put the encoding of its centre beside each image token where the layer projects it to its key and value.
            The paper does not: its f' is trained along and can learn to keep places, where that of a frozen CLIP may
            have lost them.
        gain: factor of hints of boxes, points and texts. Queries do not feel it, since the layer normalises first; it
            is how much of a hint is left beside what it has read.
        temperature: initial factor of the cosines between regions and texts. It is learned, apart from the factor of
            whole images, since region texts differ less from each other than captions.
        side: of the padded images that it is trained on, in pixels; None for those of the encoder.

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
        gain: int | float = 1,
        temperature: int | float = 1 / 0.07,
        side: int | None = None,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise UsageError(f"pool must be one of {', '.join(POOLS)}; got {pool!r}")
        if corner_tokens not in (1, 2) or frequencies < 1 or not 0 < shortest <= 2:
            raise UsageError(
                "corner_tokens must be 1 or 2, frequencies at least 1 and shortest in (0, 2]; "
                f"got {corner_tokens}, {frequencies} and {shortest}"
            )
        self.settings: dict[str, Any] = {
            "width": width, "dim": dim, "frequencies": frequencies, "shortest": shortest,
            "corner_tokens": corner_tokens, "pool": pool, "feed_forward": feed_forward, "placed": placed, "gain": gain,
            "side": side,
        }  # fmt: skip
        self.pool, self.corner_tokens, self.gain = pool, corner_tokens, gain
        self.frequencies, self.shortest = frequencies, shortest
        self.of_place = nn.Linear(4 * frequencies, width)
        self.of_box = nn.Linear(8 * frequencies, width) if corner_tokens == 1 else None
        self.of_mask = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.of_text = nn.Linear(dim, width)
        self.kinds = nn.Parameter(0.02 * torch.randn(len(KINDS), width))
        inner = int(feed_forward * width)
        self.ln_1, self.attend, self.mix = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attend_places = nn.Linear(4 * frequencies, 3 * width, bias=False) if placed else None
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
        tokens, places = grid.flatten(2).mT, self._places(grid)
        if self.pool == "hint":
            units = _normalised(tokens, self.ln_1)
            batches = _batches(hints, real, HINTS_AT_ONCE // max(1, len(tokens)))
            return torch.cat([self._embed_hints(units, places, *batch) for batch in batches], dim=1)
        projected = self.attend(self.ln_1(tokens))
        if self.attend_places is not None:
            projected = projected + self.attend_places(places)
        batches = _batches(hints, real, AT_ONCE // max(1, len(tokens)))
        return torch.cat([self._embed(tokens, projected, *batch) for batch in batches], dim=1)

    def boxes(self, boxes: Float[Tensor, "b m 4"]) -> Float[Tensor, "b m k c"]:
        """Hints of boxes (x0, y0, x1, y1)."""
        corners = sinusoids(boxes, self.frequencies, self.shortest).unflatten(2, (2, -1))
        if self.of_box is not None:
            return self.gain * (self.of_box(corners.flatten(2)) + self._kind("box"))[:, :, None]
        kinds = torch.stack([self._kind("upper left"), self._kind("lower right")])
        return self.gain * (self.of_place(corners) + kinds)

    def points(self, points: Float[Tensor, "b m p 2"]) -> Float[Tensor, "b m p c"]:
        """Hints of p points each; the points of a hint have no order."""
        return self.gain * (self.of_place(sinusoids(points, self.frequencies, self.shortest)) + self._kind("point"))

    def masks(self, grid: Float[Tensor, "b c h w"], shares: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m 1 c"]:
        """Hints of masks: the mean of the tokens in each, weighted.

        Args:
            grid: tokens of the images.
            shares: fraction of each patch that the mask covers; where it covers nothing, the mean is 0.
        """
        norm: Any = self.of_mask[0]
        weights = shares.flatten(2)
        weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)
        covered = weights.sum(2, keepdim=True)
        mean = (weights @ _normalised(grid.flatten(2).mT, norm)) * norm.weight + covered * norm.bias
        return (self.of_mask[1](mean) + self._kind("mask"))[:, :, None]

    def texts(self, texts: Float[Tensor, "b m d"]) -> Float[Tensor, "b m 1 c"]:
        """Hints of texts, given as their unit vectors."""
        return self.gain * (self.of_text(texts) + self._kind("text"))[:, :, None]

    def _kind(self, name: str) -> Float[Tensor, " c"]:
        return self.kinds[KINDS.index(name)]

    def _places(self, grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "n p"]:
        """The encoding of the centre of each token."""
        rows, columns = ((torch.arange(side, device=grid.device) + 0.5) / side for side in grid.shape[2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres = torch.stack([x, y], dim=-1).flatten(0, 1).to(self.kinds.dtype)
        return sinusoids(centres, self.frequencies, self.shortest)

    def _embed_hints(
        self,
        units: Float[Tensor, "b n c"],
        places: Float[Tensor, "n p"],
        hints: Float[Tensor, "b m k c"],
        real: Bool[Tensor, "b m k"],
    ) -> Float[Tensor, "b m d"]:
        """The vectors of :meth:`_embed` where hints alone are pooled, with no more than two products over the tokens.

        With few queries it costs less to bring these to the tokens, q · W (g u + b) = (g ∘ Wᵀ q) · u + q · W b, and to
        project means of tokens instead of tokens.

        Args:
            units: tokens normalised by ``ln_1``, before its gain g and bias b.
            places: encodings of their centres.
            hints: up to k tokens a hint, of any kinds.
            real: which tokens of the hints are there.
        """
        norm, shape = self.ln_1, hints.shape[1:3]
        query, key, value = self.attend(norm(hints)).chunk(3, dim=-1)
        query = query * query.shape[-1] ** -0.5
        (_, of_key, of_value), (_, key_bias, value_bias) = self.attend.weight.chunk(3), self.attend.bias.chunk(3)
        pulled = query @ of_key
        likeness = ((pulled * norm.weight).flatten(1, 2) @ units.mT).unflatten(1, shape)
        likeness = likeness + (pulled @ norm.bias + query @ key_bias)[..., None]
        if self.attend_places is not None:
            _, key_places, value_places = self.attend_places.weight.chunk(3)
            likeness = likeness + (query @ key_places) @ places.mT
        own = (query @ key.mT).masked_fill(~real[:, :, None], float("-inf"))
        weights = torch.cat([own, likeness], dim=-1).softmax(dim=-1)
        own, seen = weights[..., : key.shape[2]], weights[..., key.shape[2] :]
        seen_weight = seen.sum(-1, keepdim=True)
        mean = (seen.flatten(1, 2) @ units).unflatten(1, shape) * norm.weight + seen_weight * norm.bias
        read = own @ value + mean @ of_value.mT + seen_weight * value_bias
        if self.attend_places is not None:
            read = read + (seen @ places) @ value_places.mT
        return self._answer(hints + self.mix(read), real)

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
        kept = slice(None) if self.pool == "all" else slice(taken, None)
        likeness = (query[:, :, kept] * query.shape[-1] ** -0.5) @ key.mT
        weights = likeness.masked_fill(~there[:, :, None], float("-inf")).softmax(dim=-1)
        return self._answer(x[:, :, kept] + self.mix(weights @ value), there[:, :, kept])

    def _answer(self, x: Float[Tensor, "b m n c"], there: Bool[Tensor, "b m n"]) -> Float[Tensor, "b m d"]:
        """The rest of the layer, and the mean of the tokens that are there in the joint space."""
        x = self.ln_post(x + self.mlp(self.ln_2(x)))
        counted = there[..., None].to(x.dtype)
        mean = (x * counted).sum(2) / counted.sum(2).clamp(min=1)
        vectors = self.project(mean)
        return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


def _normalised(tokens: Float[Tensor, "b n c"], norm: nn.LayerNorm) -> Float[Tensor, "b n c"]:
    """Tokens normalised, before gain and bias: tokens of a frozen ViT then need no gradient."""
    return F.layer_norm(tokens, norm.normalized_shape, eps=norm.eps)


def _batches(
    hints: Float[Tensor, "b m k c"], real: Bool[Tensor, "b m k"], count: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Hints and which of their tokens are there, ``count`` hints of each image at a time."""
    return zip(hints.split(max(1, count), dim=1), real.split(max(1, count), dim=1), strict=True)


def _repeated(tokens: Float[Tensor, "b n c"], count: int) -> Float[Tensor, "b {count} n c"]:
    return tokens[:, None].expand(-1, count, -1, -1)


class BoxHead(nn.Module):
    """Two linear layers with GELU that predict the place of a text's region, from the vector of its text hint.

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
