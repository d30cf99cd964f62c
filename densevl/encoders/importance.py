"""How much each part of a tower matters, measured on inputs without labels and without training.

Ours. TinyCLIP learns gates on channels, heads and units; here each has a gate that stands open (at 1), and its
importance is the squared change, to first order, of the tower's unit vectors when the gate is closed::

    I(g) = E over inputs and random directions r ~ N(0, 1) of (d (r · f) / d g)²  =  E |d f / d g|²

where f holds the vector of the whole input and, of images, those of the patches read by their values (MaskCLIP). Blocks
go first, one by one: always the one without which the vectors of the whole tower change least, measured by leaving it
out. Of the others the parts of the greatest importance are kept: channels; then heads and units, among all kept
blocks together, so that a block may lose all of either.

Close in spirit: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019,
https://arxiv.org/abs/1906.10771, which takes the change of a loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.attention import attend
from densevl.encoders.contracts import ImageTower
from densevl.encoders.inheritance import Parts, PartsOfBlock, Shape, check_size
from densevl.encoders.towers.open_clip import block_view

__all__ = ["Importance", "best_parts", "image_importance", "text_importance"]

DIRECTIONS = 4


@dataclass(frozen=True)
class Importance:
    """The importance of the parts of a tower.

    Attributes:
        channels: of the tokens.
        blocks: indices of those that are kept, rising.
        heads: of each block.
        units: of each block.
    """

    channels: Float[Tensor, " c"]
    blocks: tuple[int, ...]
    heads: tuple[Float[Tensor, " _"], ...]
    units: tuple[Float[Tensor, " _"], ...]


Mixed = Callable[[Any, Tensor], Tensor]


class _Gates:
    """Gates at 1 for each input of a batch, on the blocks that are kept.

    Args:
        shape: of the tower.
        blocks: indices of the blocks that are kept.
        inputs: of a batch.
    """

    def __init__(self, shape: Shape, blocks: Sequence[int], inputs: Tensor) -> None:
        def gate(count: int) -> Tensor:
            return torch.ones(len(inputs), count, device=inputs.device, requires_grad=True)

        self.kept = frozenset(blocks)
        self.channels = gate(shape.width)
        self.heads, self.units = [gate(count) for count in shape.heads], [gate(count) for count in shape.units]

    @property
    def all(self) -> list[Tensor]:
        """All gates."""
        return [self.channels, *self.heads, *self.units]

    def run(self, index: int, view: Any, x: Float[Tensor, "b n c"], mixed: Mixed) -> Float[Tensor, "b n c"]:
        """A block whose parts are gated; one that is not kept passes its input on.

        Args:
            index: of the block.
            view: the block.
            x: its input.
            mixed: what the heads gather of the normalised input.
        """
        if index not in self.kept:
            return x
        if view.block.attn is not None:
            gathered = mixed(view, view.norm_1(x)) * self.heads[index][:, :, None, None]
            x = x + self.channels[:, None] * view.out(gathered)
        mlp = view.block.mlp
        if mlp is not None:
            hidden = mlp.gelu(mlp.c_fc(view.norm_2(x))) * self.units[index][:, None]
            x = x + self.channels[:, None] * view.block.ls_2(mlp.c_proj(hidden))
        return x


Vectors = Callable[[Tensor, _Gates], list[Tensor]]


def image_importance(
    tower: ImageTower, shape: Shape, depth: int, batches: Sequence[Float[Tensor, "b 3 H W"]]
) -> Importance:
    """The importance of the parts of an image tower of open_clip.

    Args:
        tower: with open_clip's blocks, or those of free shape.
        shape: of it.
        depth: blocks that are kept.
        batches: normalised images of the native size.
    """

    def vectors(images: Tensor, gates: _Gates) -> list[Tensor]:
        x, grid = tower.tokens(images)
        x, views = x * gates.channels[:, None], list(tower.blocks_on(grid))
        for index, view in enumerate(views[:-1]):
            x = gates.run(index, view, x, _attended)
        last = len(views) - 1
        whole = tower.pool(gates.run(last, views[last], x, _attended))
        patches = tower.to_joint(gates.run(last, views[last], x, _valued)[:, tower.prefix :])
        return [whole[:, None], patches]

    return _measured(shape, depth, batches, vectors)


def text_importance(tower: Any, shape: Shape, depth: int, batches: Sequence[Int[Tensor, "b n"]]) -> Importance:
    """The importance of the parts of a causal text tower of open_clip that is read at its end-of-text token.

    Args:
        tower: open_clip's text tower, or the CLIP that holds its parts.
        shape: of it.
        depth: blocks that are kept.
        batches: token ids.
    """

    def vectors(tokens: Tensor, gates: _Gates) -> list[Tensor]:
        ends = tokens.argmax(dim=1)
        tokens = tokens[:, : int(ends.max()) + 1]
        x = (tower.token_embedding(tokens) + tower.positional_embedding[: tokens.shape[1]]) * gates.channels[:, None]
        for index, block in enumerate(tower.transformer.resblocks):
            x = gates.run(index, block_view(block), x, _attended_causally)
        return [(tower.ln_final(x[torch.arange(len(x)), ends]) @ tower.text_projection)[:, None]]

    return _measured(shape, depth, batches, vectors)


def _attended(view: Any, normed: Tensor) -> Tensor:
    return attend(*view.qkv(normed))


def _attended_causally(view: Any, normed: Tensor) -> Tensor:
    return attend(*view.qkv(normed), causal=True)


def _valued(view: Any, normed: Tensor) -> Tensor:
    return view.qkv(normed, "v")[0]


def _measured(shape: Shape, depth: int, batches: Sequence[Tensor], vectors: Vectors) -> Importance:
    """Mean squared derivatives of unit vectors with respect to gates, over inputs and random directions."""
    blocks = _kept_blocks(shape, depth, batches[0], vectors)
    generator = torch.Generator().manual_seed(0)
    sums: list[Tensor] = []
    for inputs in batches:
        gates = _Gates(shape, blocks, inputs)
        with torch.enable_grad():
            found = _units(vectors(inputs, gates))
            for number in range(DIRECTIONS):
                drawn = [
                    torch.randn(one.shape, generator=generator).to(one.device) / one.shape[1] ** 0.5 for one in found
                ]
                aim = torch.stack([(one * each).sum() for one, each in zip(found, drawn, strict=True)]).sum()
                again = number + 1 < DIRECTIONS
                slopes = torch.autograd.grad(aim, gates.all, retain_graph=again, materialize_grads=True)
                squares = [slope.square().sum(dim=0).cpu() for slope in slopes]
                sums = [a + b for a, b in zip(sums, squares, strict=True)] if sums else squares
    count = DIRECTIONS * sum(map(len, batches))
    channels, *others = (one / count for one in sums)
    return Importance(channels, blocks, tuple(others[: len(shape.heads)]), tuple(others[len(shape.heads) :]))


def _kept_blocks(shape: Shape, depth: int, inputs: Tensor, vectors: Vectors) -> tuple[int, ...]:
    """The blocks that are left when those go, one by one, without which the vectors change least."""
    kept = list(range(len(shape.heads)))

    @torch.no_grad()
    def read(blocks: Sequence[int]) -> list[Tensor]:
        return _units(vectors(inputs, _Gates(shape, blocks, inputs)))

    aims = read(kept)

    def likeness(blocks: Sequence[int]) -> float:
        return sum(float((one * aim).sum(-1).mean()) for one, aim in zip(read(blocks), aims, strict=True))

    while len(kept) > depth:
        kept = max(([other for other in kept if other != one] for one in kept), key=likeness)
    return tuple(kept)


def _units(vectors: Sequence[Tensor]) -> list[Tensor]:
    return [F.normalize(one.float(), dim=-1) for one in vectors]


def best_parts(shape: Shape, importance: Importance, width: int) -> Parts:
    """The most important parts: as many heads and units altogether as manual inheritance keeps at this size.

    Args:
        shape: of the larger tower.
        importance: of its parts, with the blocks that are kept.
        width: channels that are kept.

    Raises:
        UsageError: where the width cannot be kept.
    """
    blocks = importance.blocks
    check_size(shape, width, len(blocks))
    share = width / shape.width
    heads, units = [importance.heads[one] for one in blocks], [importance.units[one] for one in blocks]
    kept_heads = _shared(heads, round(share * sum(map(len, heads))))
    kept_units = _shared(units, round(share * sum(map(len, units))))
    parts = [PartsOfBlock(*one) for one in zip(blocks, kept_heads, kept_units, strict=True)]
    return Parts(_best(importance.channels, width), tuple(parts))


def _best(values: Tensor, count: int) -> Tensor:
    """Indices of the greatest values, rising."""
    return values.topk(count).indices.sort().values


def _shared(values: Sequence[Tensor], count: int) -> list[Tensor]:
    """Indices of the greatest values among several lists together, list by list."""
    chosen = torch.zeros(sum(len(one) for one in values), dtype=torch.bool)
    chosen[torch.cat(list(values)).topk(count).indices] = True
    return [one.nonzero().flatten() for one in chosen.split([len(one) for one in values])]
