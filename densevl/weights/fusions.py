"""Steps of a layout that change tensors and not only their names: a closed list, each read and written.

A step works on a whole state dict in place, after its names were translated. Reading makes our tensors of the published
ones, writing the published ones of ours; one after the other changes nothing but, in :class:`MergeSVD`, last digits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, suggestion
from densevl.weights.names import Template

__all__ = ["FUSIONS", "Fusion", "fusion"]

State = dict[str, Tensor]


@runtime_checkable
class Fusion(Protocol):
    """A step of a layout."""

    def read(self, state: State) -> None:
        """Make our tensors of the published ones, in place."""
        ...

    def write(self, state: State) -> None:
        """Make the published tensors of ours, in place."""
        ...


@dataclass(frozen=True)
class Join:
    """Tensors of equal shape behind one another along the first dimension, such as queries, keys and values.

    Attributes:
        parts: templates of the published names.
        to: template of our name.
    """

    parts: tuple[str, ...]
    to: str

    def read(self, state: State) -> None:
        """Concatenate."""
        first, *others = (Template(part) for part in self.parts)
        for name, holes in first.among(state):
            names = [name, *(part.fill(holes) for part in others)]
            if missing := [one for one in names if one not in state]:
                raise WeightsError(f"the file has {name} and lacks {missing[0]}, which belongs to it; fetch it again")
            state[Template(self.to).fill(holes)] = torch.cat([state.pop(one) for one in names])

    def write(self, state: State) -> None:
        """Cut into equal parts."""
        for name, holes in Template(self.to).among(state):
            pieces = state.pop(name).chunk(len(self.parts))
            state.update({Template(part).fill(holes): piece for part, piece in zip(self.parts, pieces, strict=True)})


@dataclass(frozen=True)
class Split:
    """Tensors that the file has behind one another along the first dimension, and we apart.

    Attributes:
        name: template of the published name.
        into: templates of our names.
        shares: how much of it each of them is, in whole numbers.
    """

    name: str
    into: tuple[str, ...]
    shares: tuple[int, ...]

    def read(self, state: State) -> None:
        """Cut by the shares."""
        for name, holes in Template(self.name).among(state):
            whole = state.pop(name)
            sizes = [len(whole) * share // sum(self.shares) for share in self.shares]
            pieces = zip(self.into, whole.split(sizes), strict=True)
            state.update({Template(part).fill(holes): piece for part, piece in pieces})

    def write(self, state: State) -> None:
        """Concatenate."""
        Join(self.into, self.name).read(state)


@dataclass(frozen=True)
class JoinPositions:
    """Two position tables of which the first is used up to a place, and the second from there on.

    Source: Zhang et al., Long-CLIP, ECCV 2024, https://arxiv.org/abs/2403.15378, whose forward pass masks both.

    Attributes:
        first: name of the table of the first places, and of ours.
        second: name of the table of the others.
        at: the first place of the second table.
    """

    first: str
    second: str
    at: int

    def read(self, state: State) -> None:
        """Take the first rows of one and the last of the other."""
        if self.first in state and self.second in state:
            state[self.first] = torch.cat([state[self.first][: self.at], state.pop(self.second)[self.at :]])

    def write(self, state: State) -> None:
        """Give both tables all places."""
        if self.first in state:
            state[self.second] = state[self.first].clone()


@dataclass(frozen=True)
class Transpose:
    """Matrices that are kept the other way round.

    Attributes:
        name: template of the name, which stays.
    """

    name: str

    def read(self, state: State) -> None:
        """Transpose."""
        for name, _ in Template(self.name).among(state):
            state[name] = state[name].mT.contiguous()

    write = read


@dataclass(frozen=True)
class Unsqueeze:
    """Tensors that ours have with a leading dimension of one, such as a position table (n, c) for (1, n, c).

    Attributes:
        name: template of the name, which stays.
        dims: how many such dimensions.
    """

    name: str
    dims: int = 1

    def read(self, state: State) -> None:
        """Add the dimensions."""
        for name, _ in Template(self.name).among(state):
            state[name] = state[name].reshape(*(1,) * self.dims, *state[name].shape)

    def write(self, state: State) -> None:
        """Take them away."""
        for name, _ in Template(self.name).among(state):
            state[name] = state[name].reshape(state[name].shape[self.dims :])


@dataclass(frozen=True)
class Squeeze:
    """Tensors that ours have without a leading dimension of one, such as a scale (1,) for ().

    Attributes:
        name: template of the name, which stays.
    """

    name: str

    def read(self, state: State) -> None:
        """Take the dimension away."""
        Unsqueeze(self.name).write(state)

    def write(self, state: State) -> None:
        """Add it."""
        Unsqueeze(self.name).read(state)


@dataclass(frozen=True)
class MergeSVD:
    """Matrices kept as their singular value decomposition W = U diag(S) V.

    Attributes:
        left: template of the name of U (out, r).
        values: template of the name of S (1, r).
        right: template of the name of V (r, in).
        to: template of our name.
    """

    left: str
    values: str
    right: str
    to: str

    def read(self, state: State) -> None:
        """Multiply, in float64."""
        for name, holes in Template(self.values).among(state):
            left, right = Template(self.left).fill(holes), Template(self.right).fill(holes)
            if missing := [one for one in (left, right) if one not in state]:
                raise WeightsError(f"the file has {name} and lacks {missing[0]}, which belongs to it; fetch it again")
            values = state.pop(name)
            merged = (state.pop(left).double() * values.double().flatten()) @ state.pop(right).double()
            state[Template(self.to).fill(holes)] = merged.to(values.dtype)

    def write(self, state: State) -> None:
        """Decompose, in float64."""
        for name, holes in Template(self.to).among(state):
            weight = state.pop(name)
            left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
            for template, part in ((self.left, left), (self.values, values[None]), (self.right, right)):
                state[Template(template).fill(holes)] = part.to(weight.dtype)


@dataclass(frozen=True)
class FoldClassPosition:
    """A row of a position table that belongs to the class token, added to the token.

    The published ViT adds it at every pass; timm's towers with registers keep the sum. Writing leaves that row zero,
    which is the same model.

    Attributes:
        token: name of the class token (1, 1, c).
        positions: name of the table, (1, 1 + n, c) as published, (1, n, c) as ours.
    """

    token: str
    positions: str

    def read(self, state: State) -> None:
        """Add the first row to the token, in float32, and cut it off."""
        if self.token in state and self.positions in state:
            token, table = state[self.token], state[self.positions]
            state[self.token] = (token.float() + table[:, :1].float()).to(token.dtype)
            state[self.positions] = table[:, 1:].contiguous()

    def write(self, state: State) -> None:
        """Put a row of zeros before the table."""
        if self.positions in state:
            table = state[self.positions]
            state[self.positions] = torch.cat([torch.zeros_like(table[:, :1]), table], 1)


@dataclass(frozen=True)
class QueryValueBias:
    """Biases of queries, keys and values in one, those of the keys zero, as timm's EvaAttention has them apart.

    Attributes:
        name: template of the published name.
        query: template of our name of the biases of the queries.
        value: template of our name of the biases of the values.
    """

    name: str
    query: str
    value: str

    def read(self, state: State) -> None:
        """Take the first and the last third; what the file has for the keys is not used by its model either."""
        for name, holes in Template(self.name).among(state):
            query, _, value = state.pop(name).chunk(3)
            state[Template(self.query).fill(holes)] = query
            state[Template(self.value).fill(holes)] = value

    def write(self, state: State) -> None:
        """Put zeros between the two."""
        for name, holes in Template(self.query).among(state):
            query, value = state.pop(name), state.pop(Template(self.value).fill(holes))
            state[Template(self.name).fill(holes)] = torch.cat([query, torch.zeros_like(query), value])


@dataclass(frozen=True)
class Temperature:
    """The scale of cosines, published as the temperature that they are divided by.

    Attributes:
        name: published name.
        to: our name, of the logarithm of the scale.
        default: the temperature of files that leave it out.
    """

    name: str
    to: str
    default: float

    def read(self, state: State) -> None:
        """Take the logarithm of the inverse."""
        state[self.to] = -state.pop(self.name, torch.tensor(self.default)).float().log()

    def write(self, state: State) -> None:
        """Take the inverse of the exponential."""
        if self.to in state:
            state[self.name] = (-state.pop(self.to)).exp()


@dataclass(frozen=True)
class Constant:
    """A number of the model that files leave out.

    Attributes:
        name: our name.
        value: the number.
    """

    name: str
    value: float

    def read(self, state: State) -> None:
        """Add it where it is missing."""
        state.setdefault(self.name, torch.tensor(self.value))

    def write(self, state: State) -> None:
        """Leave it out where it is that number."""
        if self.name in state and not state[self.name].is_meta and state[self.name] == torch.tensor(self.value):
            del state[self.name]


@dataclass(frozen=True)
class FoldPatches:
    """A linear map of the pixels of a square patch, row by row and each RGB, which ours is as a convolution.

    Attributes:
        name: template of the name, which stays.
    """

    name: str

    def read(self, state: State) -> None:
        """Give the inputs (3 · side²) the shape (3, side, side)."""
        for name, _ in Template(self.name).among(state):
            side = math.isqrt(state[name].shape[1] // 3)
            state[name] = state[name].unflatten(1, (side, side, 3)).permute(0, 3, 1, 2).contiguous()

    def write(self, state: State) -> None:
        """Give them one dimension."""
        for name, _ in Template(self.name).among(state):
            state[name] = state[name].permute(0, 2, 3, 1).flatten(1)


FUSIONS: dict[str, type[Any]] = {
    "constant": Constant,
    "fold_class_position": FoldClassPosition,
    "fold_patches": FoldPatches,
    "join": Join,
    "join_positions": JoinPositions,
    "merge_svd": MergeSVD,
    "query_value_bias": QueryValueBias,
    "split": Split,
    "squeeze": Squeeze,
    "temperature": Temperature,
    "transpose": Transpose,
    "unsqueeze": Unsqueeze,
}
"""The steps by the ``kind`` that a layout calls them by."""


def fusion(row: Mapping[str, Any]) -> Fusion:
    """The step that a row describes.

    Raises:
        UsageError: where its kind is unknown, or an argument is.
    """
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    kind = arguments.pop("kind", None)
    if kind not in FUSIONS:
        raise UsageError(f"a layout has no step {kind!r}; {suggestion(str(kind), FUSIONS)}")
    try:
        return FUSIONS[kind](**arguments)
    except TypeError as error:
        raise UsageError(f"the step {kind} of a layout takes other arguments: {error}") from None
