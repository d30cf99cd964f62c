"""Another attention in the last block: a sum of terms, each an affinity of pairs of tokens.

Most dense heads of the field put another matrix in the place of ``softmax(q kᵀ / √d)``. Each is a row of settings here,
and works with every tower that has an attention, any grid and any batch. With u what enters the attention of the last
block, q, k and v its projections in each head and f the features of a guide, a term compares

    ``qq``, ``kk``, ``vv``, ``qk`` …    two of q, k and v
    ``c``                               k less its mean, in which a token counts by the length of q (those before the
                                        patches do not count)
    ``r``                               k turned by the rotation that brings ``c`` nearest to q, centred in the same way
    ``guide``                           f with itself; q, k and v are resized to its grid

in one of the measures of :mod:`densevl.dense.operations.affinity`, with a Gaussian of the places where ``sigma`` is
set. The terms are added after the softmax (or gate) of each, or before one softmax of all::

    x = out_proj(Σ_t w_t softmax(S_t) v)        ``mix="after"``
    x = out_proj(softmax(Σ_t w_t S_t) v)        ``mix="before"``

Rows (tokens before the patches take part unless ``tokens="patches"``):

* ``sclip``: qq + kk, residual and feed-forward layers kept. Wang et al., SCLIP, ECCV 2024,
  https://arxiv.org/abs/2312.01597; reference code wangf3014/SCLIP at commit b56bd30.
* ``clearclip``: qq alone. Lan et al., ClearCLIP, ECCV 2024, https://arxiv.org/abs/2407.12442; from the paper's formula.
* ``declip``: qq + kk without the division by √d. Wang et al., DeCLIP, CVPR 2025, https://arxiv.org/abs/2505.04410. It
  belongs to weights that were taught so.
* ``proxyclip``: the gate (β 1.2, γ 3) of the cosines of a guide, patches alone. Lan et al., ProxyCLIP, ECCV 2024,
  https://arxiv.org/abs/2408.04883; from the paper's formula. The gate's mean is that of each window; with
  ``together=True`` it is that of all windows of an image, as published.
* NACLIP and PEARL have files of their own for their settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from operator import add
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.attention import LETTERS
from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.guides import GUIDES
from densevl.dense.operations.affinity import MEASURES, gate, gather, token_cosines
from densevl.dense.operations.places import token_bias
from densevl.dense.operations.procrustes import centred, polar
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["AttentionReadout", "Term", "on_guide", "on_patches"]

GUIDE = "guide"
MADE = "cr"
"""Letters of the maps that are made of queries and keys."""


@dataclass(frozen=True)
class Term:
    """One affinity.

    Attributes:
        pair: two of the letters q, k, v, c and r, or ``"guide"``.
        measure: one of :data:`densevl.dense.operations.affinity.MEASURES`; a guide's is always the cosine.
        weight: factor of the term.
        sigma: of the Gaussian of places that is added before the softmax, in patches; None for none.
        beta: cut-off of the gate that takes the place of the softmax, as a factor of the mean; None for the softmax.
        gamma: factor of what lies above the cut-off.

    Raises:
        UsageError: where a letter or a measure is unknown, or a gate has a bias.
    """

    pair: str
    measure: str = "scaled"
    weight: float = 1.0
    sigma: float | None = None
    beta: float | None = None
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.pair != GUIDE and not (len(self.pair) == 2 and set(self.pair) <= set(LETTERS + MADE)):
            raise UsageError(
                f"a term compares two of {', '.join(LETTERS + MADE)}, such as qq, or is `{GUIDE}`; got {self.pair!r}"
            )
        if self.measure not in MEASURES:
            raise UsageError(f"measure must be one of {', '.join(MEASURES)}; got {self.measure!r}")
        if self.sigma is not None and (self.beta is not None or not self.sigma > 0):
            raise UsageError(f"sigma is above 0, and goes with a softmax, not with a gate; got {self.sigma}")

    @classmethod
    def of(cls, config: Any) -> "Term":
        """The term of a pair or of a mapping of settings.

        Raises:
            UsageError: where it is neither, or has settings that a term has not.
        """
        if isinstance(config, Term):
            return config
        settings = {"pair": config} if isinstance(config, str) else config
        known = {field.name for field in fields(cls)}
        if not isinstance(settings, Mapping) or "pair" not in settings or not set(settings) <= known:
            raise UsageError(
                f"a term is a pair, such as qq, or its settings ({', '.join(sorted(known))}); got {config!r}"
            )
        return cls(**settings)

    @property
    def name(self) -> str:
        """The pair, and each setting that is not the usual one."""
        given = (field for field in fields(self) if field.name != "pair")
        changed = [f"{one.name}={getattr(self, one.name)!r}" for one in given if getattr(self, one.name) != one.default]
        return f"{self.pair}({', '.join(changed)})" if changed else self.pair


class AttentionReadout(nn.Module):
    """Read the last block by a sum of pair affinities.

    Args:
        terms: pairs such as ``"qq"``, or the settings of a :class:`Term`.
        mix: ``"after"`` each term's softmax, or ``"before"`` one softmax of all.
        tokens: ``"all"``, or ``"patches"`` without those before them.
        residual: add the input of the block.
        mlp: add the feed-forward layers.
        steps: of Newton and Schulz that make the rotation of ``r``; None for the exact one.
        guide: a second encoder, its config or its name, where a term needs it.
        together: take the mean of a gate over all windows of an image, which then go through the encoder together.

    Raises:
        UsageError: where a setting is unknown, or a guide is missing or not asked for.
    """

    def __init__(
        self,
        terms: Sequence[Any] = ("kk",),
        mix: str = "after",
        tokens: str = "all",
        residual: bool = False,
        mlp: bool = False,
        steps: int | None = 5,
        guide: Any = None,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.terms = [Term.of(term) for term in ([terms] if isinstance(terms, str | Mapping) else terms)]
        for setting, value, known in (("mix", mix, ("after", "before")), ("tokens", tokens, ("all", "patches"))):
            if value not in known:
                raise UsageError(f"{setting} must be one of {', '.join(known)}; got {value!r}")
        if not self.terms:
            raise UsageError("an attention has at least one term, such as qq")
        if mix == "before" and any(term.beta is not None for term in self.terms):
            raise UsageError("a gate is a softmax of its own; terms with one are mixed after it")
        guided = any(term.pair == GUIDE for term in self.terms)
        if guided and guide is None:
            guides = ", ".join(GUIDES.names)
            raise UsageError(f"this readout compares patches by a guide, and has none; give it one of {guides}")
        if guided and tokens == "all":
            raise UsageError("a guide describes patches alone; take tokens=patches")
        if guide is not None and not guided:
            raise UsageError("no term of this attention asks for its guide; add the term `guide`, or leave the guide")
        self.mix, self.tokens, self.residual, self.mlp, self.steps = mix, tokens, residual, mlp, steps
        self.guide = None if guide is None else build(GUIDES, guide)
        self.together = together

    @property
    def needs(self) -> Needs:
        """The guide, and all windows of an image where they share a mean."""
        return Needs(guide=self.guide, windows=self.together)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        settings: dict[str, Any] = {"mix": self.mix, "tokens": self.tokens, "residual": self.residual, "mlp": self.mlp}
        if any("r" in term.pair for term in self.terms if term.pair != GUIDE):
            settings["steps"] = self.steps
        if self.guide is not None:
            settings |= {"guide": self.guide.name, "together": self.together}
        terms = " + ".join(term.name for term in self.terms)
        return f"attention({terms}, {', '.join(f'{name}={value}' for name, value in settings.items())})"

    def forward(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid, or on the grid of the guide.

        Raises:
            UsageError: where the block has lost its attention.
        """
        maps = self._maps(last)
        if maps["v"].shape[1] == 0:
            return last.behind(maps["v"], self.residual, self.mlp)
        if self.tokens == "patches":
            last, maps = on_patches(last, maps)
        likeness = None
        if self.guide is not None:
            last, maps, units = on_guide(last, maps)
            likeness = units @ units.mT
        mixed = self._before(last, maps, likeness) if self.mix == "before" else self._after(last, maps, likeness)
        return last.behind(mixed, self.residual, self.mlp)

    def _maps(self, last: LastBlock) -> dict[str, Float[Tensor, "b heads n e"]]:
        """The maps that the terms compare, and the values, by their letters."""
        asked = {letter for term in self.terms if term.pair != GUIDE for letter in term.pair} | {"v"}
        wanted = "".join(letter for letter in LETTERS if letter in asked or (letter != "v" and asked & set(MADE)))
        block = last.block
        maps = dict(zip(wanted, block.qkv(block.norm_1(last.tokens), wanted), strict=True))
        if asked & set(MADE) and maps["v"].shape[1] > 0:
            lengths = maps["q"].float().norm(dim=-1, keepdim=True)
            lengths[..., : last.prefix, :] = 0
            maps["c"] = centred(maps["k"].float(), lengths).to(maps["k"])
            if "r" in asked:
                turn = polar(maps["c"].float().mT @ centred(maps["q"].float(), lengths), self.steps)
                maps["r"] = maps["k"] @ turn.to(maps["k"])
        return maps

    def _after(
        self, last: LastBlock, maps: Mapping[str, Tensor], likeness: Float[Tensor, "b n n"] | None
    ) -> Float[Tensor, "b heads n e"]:
        """What each token gathers by each term."""
        parts = [self._by_term(term, last, maps, likeness) for term in self.terms]
        weighed = (one if term.weight == 1 else term.weight * one for term, one in zip(self.terms, parts, strict=True))
        return reduce(add, weighed)

    def _by_term(
        self, term: Term, last: LastBlock, maps: Mapping[str, Tensor], likeness: Float[Tensor, "b n n"] | None
    ) -> Float[Tensor, "b heads n e"]:
        bias = None if term.sigma is None else token_bias(last.grid, last.prefix, term.sigma, maps["v"])
        if term.pair == GUIDE and likeness is not None:
            if term.beta is None:
                return _apply((likeness if bias is None else likeness + bias).softmax(-1), maps["v"])
            return _apply(gate(likeness, term.beta, term.gamma, together=self.together), maps["v"])
        x, y = (maps[letter] for letter in term.pair)
        if term.beta is None:
            return gather(x, y, maps["v"], term.measure, bias)
        scores = token_cosines(x, y) if term.measure == "cosine" else _scaled(x, term.measure) @ y.mT
        return gate(scores, term.beta, term.gamma, together=self.together) @ maps["v"]

    def _before(
        self, last: LastBlock, maps: Mapping[str, Tensor], likeness: Float[Tensor, "b n n"] | None
    ) -> Float[Tensor, "b heads n e"]:
        """What each token gathers by one softmax: tokens laid side by side have the sum of their products."""
        left, right, bias = [], [], None
        for term in self.terms:
            more = None if term.sigma is None else token_bias(last.grid, last.prefix, term.sigma, maps["v"])
            if term.pair == GUIDE and likeness is not None:
                alike = term.weight * likeness[:, None]
                more = alike if more is None else alike + more
            else:
                x, y = (maps[letter] for letter in term.pair)
                if term.measure == "cosine":
                    x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
                left.append(_scaled(x, term.measure) * term.weight)
                right.append(y)
            bias = more if bias is None else bias if more is None else bias + more
        if not left:
            return _apply(bias[:, 0].softmax(-1), maps["v"])  # type: ignore[index]
        x, y = torch.cat(left, dim=-1), torch.cat(right, dim=-1)
        return F.scaled_dot_product_attention(x, y, maps["v"], attn_mask=bias, scale=1.0)


def _scaled(x: Float[Tensor, "b heads n e"], measure: str) -> Float[Tensor, "b heads n e"]:
    return x * x.shape[-1] ** -0.5 if measure == "scaled" else x


def _apply(weights: Float[Tensor, "b n m"], values: Float[Tensor, "b heads m e"]) -> Float[Tensor, "b heads n e"]:
    """Values of all heads gathered by the same weights."""
    mixed = weights @ values.transpose(1, 2).flatten(2)
    return mixed.unflatten(2, (values.shape[1], values.shape[3])).transpose(1, 2)


def on_patches(last: LastBlock, maps: Mapping[str, Tensor]) -> tuple[LastBlock, dict[str, Tensor]]:
    """The block and maps of its heads without the tokens before the patches.

    Args:
        last: the block.
        maps: of its heads, by letters, of all tokens.
    """
    prefix = last.prefix
    cut = {letter: one[:, :, prefix:] for letter, one in maps.items()}
    return replace(last, tokens=last.tokens[:, prefix:], prefix=0), cut


def on_guide(
    last: LastBlock, maps: Mapping[str, Float[Tensor, "b heads n _"]]
) -> tuple[LastBlock, dict[str, Float[Tensor, "b heads m _"]], Float[Tensor, "b m c"]]:
    """Patches on the grid of a guide: the block, maps of its heads, and the unit features of the guide.

    Args:
        last: the block, with the features of the guide.
        maps: of its heads, by letters, of the same tokens.

    Raises:
        UsageError: where the guide's features are missing.
    """
    if last.guide is None:
        raise UsageError("this readout compares patches by a guide, whose features it was not given")
    described = last.guide.grid
    if last.prefix > 0:
        last, maps = on_patches(last, maps)
    units = F.normalize(described.to(maps["v"]).flatten(2).mT, dim=-1)
    return *_resized(last, maps, (described.shape[2], described.shape[3])), units


def _resized(last: LastBlock, maps: Mapping[str, Tensor], grid: tuple[int, int]) -> tuple[LastBlock, dict[str, Tensor]]:
    """The same on another grid; tokens are those of patches alone."""
    if grid == last.grid:
        return last, dict(maps)

    def moved(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c"]:
        return F.interpolate(last.on_grid(tokens), grid, mode="bilinear", align_corners=False).flatten(2).mT

    there = {
        letter: moved(one.transpose(1, 2).flatten(2)).unflatten(2, (one.shape[1], -1)).transpose(1, 2)
        for letter, one in maps.items()
    }
    return replace(last, tokens=moved(last.tokens), grid=grid), there
