"""SC-CLIP and SFP: tokens that stand apart are repaired, and earlier blocks say which patches belong together.

Sources: Bai et al., Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation (SC-CLIP), 2024,
https://arxiv.org/abs/2411.15869, reference code SuleBai/SC-CLIP at commit 0417ba9; SFP (ICCV 2025), reference code at
commit 2804f5b. The defaults are SC-CLIP's. With h_i what block i of n = 12 puts out, patches alone, and *repaired* as
:func:`densevl.dense.operations.repair.repair` does it to the outliers of h_(n−1)::

    M  = cosines of repaired h_9          M' = M, below ``cut`` 0           N' = cosines of h_4, below ``cut`` 0
    pool(S, f) = S f / Σ S                gate(S) = softmax of γ (S − mean S), below 0 −∞

    f  = pool(M', repaired h_(n−1))       s = h_4 + … + h_10
    y  = O mean(first terms of f) v(f)  + w · class(h_(n−1))
    y' = O mean(second terms of s) v(s) + w · class(s)                       O: projection of the last attention
    x  = pool(N', y) + pool(N', y')

| | outliers | first terms | second terms |
|---|---|---|---|
| SC-CLIP | by density | gate(M), k kᵀ | gate(M), k kᵀ |
| SFP | by the class token in block n − 1 | k kᵀ, q qᵀ, gate(M') | gate(M') |

Residual and feed-forward layers are left out; k, q and v are the last block's, behind its ``ln_1``. The protocols
resize positions by ``positions="plus"`` and drop the border.

Where we differ: any grid, the references know square ones alone; the mean in ``gate`` is that of each image, and theirs
that of all windows which they happen to run together, so that they agree for one window; images of one colour have a
result. Blocks by their number are given for towers of 12, and another depth is an error unless they are set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from densevl.core.attention import is_residual
from densevl.core.errors import UsageError
from densevl.dense.contracts import named
from densevl.dense.operations.affinity import gate, gather, pair_weights, pool, token_cosines
from densevl.dense.operations.outliers import attention_outliers, density_outliers
from densevl.dense.operations.repair import repair
from densevl.encoders.contracts import Encoder, LastBlock, Needs

__all__ = ["AnomalyReadout"]

RULES = ("density", "class-attention")
"""Ways to find outliers, as :mod:`densevl.dense.operations.outliers` has them."""

GATES = ("gate", "cut-gate")
"""Terms that are made of the cosines M of the middle block, or of M'."""

PAIRS = tuple(a + b for a in "qkv" for b in "qkv")
"""Terms that are softmax attention between queries, keys or values of the last block."""

DEPTH = 12
"""Blocks of the towers that the layers were published for."""

LAYERS = {"middle": 9, "early": 4, "summed": (4, 5, 6, 7, 8, 9, 10)}


@dataclass(frozen=True)
class AnomalyReadout:
    """Read the last block with repaired tokens and the affinities of earlier blocks.

    Attributes:
        rule: how outliers are found: ``"density"`` or ``"class-attention"``.
        neighbours: that the local outlier factor compares a token with.
        share: of the tokens that are outliers by density.
        most: outliers of an image by class attention.
        factor: of the attention of the class token, by class attention.
        middle: the block, from 1, whose repaired output tells affinities; None for the 9th of 12.
        early: the block whose output tells affinities of the last pooling; None for the 4th of 12.
        summed: the blocks whose outputs are added up for the second pass; none for no second pass; None for the 4th to
            the 10th of 12.
        first: terms of the affinity of the first pass, of which the mean is taken: ``"gate"``, ``"cut-gate"``, or two
            letters of q, k and v.
        second: terms of the second pass.
        gamma: γ of the gate.
        cut: cosines below this count as 0 where patches are pooled, and in ``"cut-gate"``.
        pool_before: whether the first pass takes pooled tokens.
        pool_after: whether what comes out is pooled.
        class_weight: w, how much of the class token is added.

    Raises:
        UsageError: where a setting is unknown or out of range.
    """

    rule: str = "density"
    neighbours: int = 30
    share: int | float = 0.05
    most: int = 10
    factor: int | float = 1.5
    middle: int | None = None
    early: int | None = None
    summed: Sequence[int] | None = None
    first: Sequence[str] = ("gate", "kk")
    second: Sequence[str] = ("gate", "kk")
    gamma: int | float = 3.0
    cut: int | float = 0.4
    pool_before: bool = True
    pool_after: bool = True
    class_weight: int | float = 0.3

    def __post_init__(self) -> None:
        for name in ("first", "second", "summed"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None else tuple(value))
        if self.rule not in RULES:
            raise UsageError(f"rule of outliers must be one of {', '.join(RULES)}; got {self.rule!r}")
        terms = (*self.first, *self.second)
        unknown = [term for term in terms if term not in (*GATES, *PAIRS)]
        if unknown or not self.first or not self.second:
            raise UsageError(
                f"terms of a pass are one or more of {', '.join(GATES)} and two letters of q, k and v, such as kk; "
                f"got {list(self.first)} and {list(self.second)}"
            )
        blocks = [self.middle, self.early, *(self.summed or ())]
        if not all(block is None or type(block) is int for block in blocks):
            raise UsageError(f"middle, early and summed are whole numbers of blocks; got {blocks}")
        if self.neighbours < 1 or self.most < 0 or not 0 <= self.share < 1:
            raise UsageError(
                "outliers take one neighbour or more, no fewer than 0 at most, and a share from 0 up to 1; "
                f"got {self.neighbours}, {self.most} and {self.share}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("sc-clip", self)

    @property
    def _layers(self) -> tuple[int, int, tuple[int, ...]]:
        """Middle and early block and those that are added up, as they are set or as they were published."""
        middle, early, summed = (LAYERS[name] if (own := getattr(self, name)) is None else own for name in LAYERS)
        return middle, early, summed  # type: ignore[return-value]

    @property
    def needs(self) -> Needs:
        """Tokens between the blocks; by class attention also those that enter the second-last."""
        middle, early, summed = self._layers
        before = (-2,) if self.rule == "class-attention" else ()
        return Needs(states=(middle, early, *summed, -1, *before))

    def check(self, encoder: Encoder) -> None:
        """Refuse a tower of another depth than that which the layers were published for, where they are not set.

        Raises:
            UsageError: where it has another.
        """
        self._check_depth(encoder.depth)

    def _check_depth(self, depth: int) -> None:
        missing = [name for name in LAYERS if getattr(self, name) is None]
        if missing and depth != DEPTH:
            raise UsageError(
                f"SC-CLIP and SFP name blocks of image towers of {DEPTH}, and this one has {depth}; set "
                f"{', '.join(f'readout.{name}' for name in missing)} to numbers of its own"
            )

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid.

        Raises:
            UsageError: where the tower has another depth, no attention or no class token.
        """
        self._check_depth(len(last.blocks))
        if not is_residual(last.block):
            raise UsageError(
                "SC-CLIP and SFP repair what enters a block of a transformer, and the last one of this tower pools by "
                "attention; take readout=maskclip"
            )
        if last.prefix < 1 and (self.class_weight or self.rule == "class-attention"):
            raise UsageError(
                "SC-CLIP and SFP read the class token, and this tower has none; set readout.rule=density and "
                "readout.class_weight=0"
            )
        middle, early, summed = self._layers
        outliers = self._outliers(last).unflatten(1, last.grid)
        alike = token_cosines(self._repaired(last, middle, outliers).float())
        cut = alike.masked_fill(alike < self.cut, 0)
        tokens = self._repaired(last, -1, outliers)
        if self.pool_before:
            tokens = pool(cut, tokens.float()).to(tokens.dtype)
        gates = {name: gate({"gate": alike, "cut-gate": cut}[name], gamma=float(self.gamma)) for name in self._gates}
        found = self._pass(last, tokens, self.first, gates, last.states[-1])
        if summed:
            added = torch.stack([last.states[place] for place in summed]).sum(0)
            found = found + self._pass(last, added[:, last.prefix :], self.second, gates, added)
        if self.pool_after:
            near = token_cosines(last.states[early][:, last.prefix :].float())
            found = pool(near.masked_fill(near < self.cut, 0), found.float()).to(found.dtype)
        return last.on_grid(found)

    @property
    def _gates(self) -> set[str]:
        return {*self.first, *self.second} & set(GATES)

    def _outliers(self, last: LastBlock) -> Bool[Tensor, "b n"]:
        """Patches that stand apart in what enters the last block."""
        if self.rule == "density":
            return density_outliers(last.states[-1][:, last.prefix :], self.neighbours, self.share)
        block = last.blocks[-2]
        queries, keys = block.qkv(block.norm_1(last.states[-2]), "qk")
        attention = pair_weights(queries, keys).mean(dim=1)
        return attention_outliers(attention, last.prefix, self.most, self.factor)

    def _repaired(self, last: LastBlock, place: int, outliers: Bool[Tensor, "b h w"]) -> Float[Tensor, "b n c"]:
        return repair(last.on_grid(last.states[place]), outliers).flatten(2).mT

    def _pass(
        self,
        last: LastBlock,
        patches: Float[Tensor, "b n c"],
        terms: Sequence[str],
        gates: dict[str, Float[Tensor, "b n n"]],
        tokens: Float[Tensor, "b m c"],
    ) -> Float[Tensor, "b n c"]:
        """The last block's attention of patches by a mean of affinities, and something of the class token.

        Args:
            last: the block.
            patches: that attend and are attended to.
            terms: of the mean.
            gates: weights of those terms that are no attention.
            tokens: whose prefix stands before the patches, for blocks that know tokens by their places.
        """
        block, prefix = last.block, last.prefix
        projected = block.qkv(block.norm_1(torch.cat([tokens[:, :prefix], patches], dim=1)))
        heads = {letter: each[:, :, prefix:] for letter, each in zip("qkv", projected, strict=True)}
        values = heads["v"]
        mixed = torch.zeros_like(values)
        for term in terms:
            if term in gates:
                mixed = mixed + gates[term].to(values.dtype)[:, None] @ values
            else:
                mixed = mixed + gather(heads[term[0]], heads[term[1]], values)
        found = block.out(mixed / len(terms))
        return found + self.class_weight * tokens[:, :1] if self.class_weight else found
