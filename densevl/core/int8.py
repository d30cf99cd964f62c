"""Linear layers in int8 on CPUs: weights by output channel, activations by token, sums in int32.

A weight W (m, n) is kept as integers with a scale for each row; a token x is made integers with a scale of its own when
it comes, so that what a token becomes depends on no other token, and a batch gives what its members give::

    W ≈ s_W[:, None] · Q_W,  Q_W in [-127, 127]            x ≈ s_x · (q - 128),  q in [1, 255]
    x Wᵀ + b = s_x · (s_W · ((q - 128) Q_Wᵀ)) + b

The product is oneDNN's, exact in int32, and comes out as float32 with the scales of the rows of W. Tokens pass a few
rows at a time, so that what lies between their dtype and the product stays in the cache. Rounding is to the nearest
even number, by adding a number at which float32 are whole: the last byte of the sum is the integer.

Scales by row and by token are those of ZeroQuant, Yao et al., NeurIPS 2022, https://arxiv.org/abs/2206.01861.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int8, UInt8
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from densevl.core.errors import UsageError
from densevl.core.processor import INT8, instructions

__all__ = ["Int8Weight", "check_trainable", "dtype_name", "int8_fault", "quantise_tokens", "quantise_weight"]

TOKENS_AT_ONCE = 256
"""Tokens of a thread between quantising and the product at a time: what lies between stays in a processor's cache."""

WHOLE = 1.5 * 2**23
"""From here on neighbouring float32 differ by one; the last byte of the bits of ``WHOLE + i`` is that of i."""

ZERO = 128
"""The byte that stands for zero: products on CPUs take bytes without sign on one side."""

LEAST_SCALE = 1e-30
"""Of a token or a row that is all zeros."""


class Int8Weight(Tensor):
    """The weight of a linear layer in int8, in the place of the parameter that it was made of.

    ``torch.nn.functional.linear`` and :func:`densevl.core.attention.linear` compute with the integers, wherever they
    meet it, also with rows of it (``chunk``). To everything else it is a matrix in the dtype of its model.

    Args:
        values: the integers.
        scales: of each row.
        dtype: that it stands for.
    """

    integers: Int8[Tensor, "m n"]
    scales: Float32[Tensor, " m"]

    @staticmethod
    def __new__(cls, values: Int8[Tensor, "m n"], scales: Float32[Tensor, " m"], dtype: torch.dtype) -> "Int8Weight":
        made = Tensor._make_wrapper_subclass(cls, values.shape, dtype=dtype, device=values.device)
        made.integers, made.scales = values, scales
        return made

    def __init__(self, values: Int8[Tensor, "m n"], scales: Float32[Tensor, " m"], dtype: torch.dtype) -> None:
        self._parts: dict[int, tuple[Int8Weight, ...]] = {}

    @classmethod
    def of(cls, weight: Float[Tensor, "m n"]) -> nn.Parameter:
        """A parameter that stands for the weight; it cannot be trained."""
        values, scales = quantise_weight(weight.detach())
        return nn.Parameter(cls(values, scales, weight.dtype), requires_grad=False)

    @functools.cached_property
    def packed(self) -> Tensor:
        """The integers in oneDNN's layout."""
        return torch.ops.onednn.qlinear_prepack(self.integers, None)

    @functools.cached_property
    def zeros(self) -> Tensor:
        """What stands for zero in each row."""
        return torch.zeros(len(self.integers), dtype=torch.int64)

    def whole(self) -> Float[Tensor, "m n"]:
        """The matrix that the integers stand for."""
        return (self.integers * self.scales[:, None]).to(self.dtype)

    def linear(
        self, x: Float[Tensor, "*b n"], bias: Float[Tensor, " m"] | None = None, gelu: bool = False
    ) -> Float[Tensor, "*b m"]:
        """``x @ weight.T + bias``, and then the exact GELU where it is wanted.

        Args:
            x: tokens.
            bias: as in ``torch.nn.functional.linear``.
            gelu: whether to apply GELU before the result is rounded to the dtype of x.

        Raises:
            UsageError: where gradients are wanted.
        """
        _check_gradients(x, bias)
        tokens, shift = x.reshape(-1, x.shape[-1]), _float(bias)
        out = x.new_empty(len(tokens), len(self.integers))
        for some in _parts(len(tokens)):
            found = self._product(*quantise_tokens(tokens[some]), shift)
            out[some] = torch.ops.aten.gelu_(found) if gelu else found
        return out.view(*x.shape[:-1], out.shape[1])

    def feed_forward(
        self,
        x: Float[Tensor, "*b n"],
        bias: Float[Tensor, " m"] | None,
        last: "Int8Weight",
        last_bias: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, "*b k"]:
        """Two linear layers with the exact GELU between them; what lies between is float32 and never leaves the cache.

        Args:
            x: tokens.
            bias: of this layer.
            last: the weight of the second layer.
            last_bias: of the second layer.

        Raises:
            UsageError: where gradients are wanted.
        """
        _check_gradients(x, bias, last_bias)
        tokens, shift, last_shift = x.reshape(-1, x.shape[-1]), _float(bias), _float(last_bias)
        out = x.new_empty(len(tokens), len(last.integers))
        for some in _parts(len(tokens)):
            hidden = torch.ops.aten.gelu_(self._product(*quantise_tokens(tokens[some]), shift))
            out[some] = last._product(*quantise_tokens(hidden), last_shift)
        return out.view(*x.shape[:-1], out.shape[1])

    def _product(
        self, q: UInt8[Tensor, "b n"], scale: Float32[Tensor, "b 1"], bias: Float32[Tensor, " m"] | None
    ) -> Float32[Tensor, "b m"]:
        """The product of quantised tokens in float32, scales and bias included."""
        inner: tuple[Any, ...] = (
            q,
            1.0,
            ZERO,
            self.packed,
            self.scales,
            self.zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        found = torch.ops.onednn.qlinear_pointwise(*inner)
        return found.mul_(scale) if bias is None else torch.addcmul(bias, found, scale, out=found)

    def rows(self, count: int) -> tuple["Int8Weight", ...]:
        """Equal parts of its rows, such as those of queries, keys and values; made once."""
        if count not in self._parts:
            pairs = zip(self.integers.chunk(count), self.scales.chunk(count), strict=True)
            self._parts[count] = tuple(Int8Weight(values, scales, self.dtype) for values, scales in pairs)
        return self._parts[count]

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Int8Weight({len(self.integers)}, {self.integers.shape[1]}, dtype={self.dtype})"

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Parameter:
        copied = nn.Parameter(Int8Weight(self.integers.clone(), self.scales.clone(), self.dtype), requires_grad=False)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and isinstance(args[1] if len(args) > 1 else kwargs.get("weight"), Int8Weight):
            return _linear(*args, **kwargs)
        if func is Tensor.chunk and kwargs.get("dim", 0) == 0 and len(args) == 2 and len(args[0]) % args[1] == 0:
            return args[0].rows(args[1])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return Int8Weight(args[0].integers, args[0].scales, args[0].dtype)
        return func(*tree_map(_whole, args), **tree_map(_whole, kwargs or {}))


def _linear(x: Tensor, weight: Int8Weight, bias: Tensor | None = None) -> Tensor:
    return weight.linear(x, bias)


def _parts(count: int) -> Iterator[slice]:
    """Parts of some tokens that all threads together take at a time."""
    size = TOKENS_AT_ONCE * torch.get_num_threads()
    return (slice(start, start + size) for start in range(0, count, size))


def _float(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.float()


def _check_gradients(*given: Tensor | None) -> None:
    if torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in given):
        raise UsageError("int8 has no gradients; load the model with dtype=float32 to train or tune it")


def _whole(value: Any) -> Any:
    return value.whole() if isinstance(value, Int8Weight) else value


def quantise_weight(weight: Float[Tensor, "m n"]) -> tuple[Int8[Tensor, "m n"], Float32[Tensor, " m"]]:
    """Integers of a matrix, and the scale of each row: its largest entry becomes 127.

    Args:
        weight: of a linear layer.
    """
    given = weight.float()
    scales = (given.abs().amax(dim=1) / 127).clamp_min(LEAST_SCALE)
    return (given / scales[:, None]).round().to(torch.int8), scales


def quantise_tokens(x: Float[Tensor, "b n"]) -> tuple[UInt8[Tensor, "b n"], Float32[Tensor, "b 1"]]:
    """Bytes of tokens, 128 for zero, and the scale of each token: its largest entry becomes 127 away from it.

    Args:
        x: tokens.
    """
    wide = x.float()
    if x.dtype == torch.bfloat16:  # the bits of what has no sign stand in the order of the numbers: faster to compare
        largest = x.abs().view(torch.int16).amax(dim=1, keepdim=True).view(x.dtype).float()
    else:
        largest = torch.maximum(wide.amax(dim=1, keepdim=True), -wide.amin(dim=1, keepdim=True))
    scale = largest.mul_(1 / 127).clamp_min_(LEAST_SCALE)
    whole = torch.addcmul(wide.new_full(x.shape[1:], WHOLE + ZERO), wide, scale.reciprocal())
    return whole.view(torch.int32).to(torch.uint8), scale


def dtype_name(module: Any) -> str:
    """The dtype that a model computes in: ``"int8"`` where linear layers of it do, or that of its first weight.

    Args:
        module: with parameters.
    """
    parameters = list(module.parameters())
    if any(isinstance(parameter, Int8Weight) for parameter in parameters):
        return "int8"
    return str(parameters[0].dtype).removeprefix("torch.")


def check_trainable(module: nn.Module, what: str) -> None:
    """Refuse a model in int8, whose weights were rounded and have no gradients.

    Args:
        module: with parameters.
        what: is wanted of it, such as ``"tuned"``.

    Raises:
        UsageError: where it computes in int8.
    """
    if dtype_name(module) == "int8":
        raise UsageError(f"a model in int8 cannot be {what}: its weights are rounded; load it with dtype=float32")


@functools.cache
def int8_fault() -> str | None:
    """Why this processor or this PyTorch is not to compute linear layers in int8; None where it is."""
    if instructions().isdisjoint(INT8):
        return "this processor has no dot products of int8 (avx512_vnni, avx_vnni or ARM's dotprod)"
    weight = torch.arange(-127, 128, dtype=torch.int8).repeat(64, 1)[:, :192].contiguous()
    tokens = torch.arange(255, -1, -1, dtype=torch.uint8).repeat(16, 1)[:, :192].contiguous()
    try:
        found = Int8Weight(weight, torch.ones(64), torch.float32)._product(tokens, torch.ones(16, 1), None)
    except (AttributeError, RuntimeError, TypeError) as error:
        return f"this PyTorch has no products of int8 ({str(error).splitlines()[0]})"
    if not torch.equal(found.long(), (tokens.long() - ZERO) @ weight.long().mT):
        return "products of int8 are not exact on this processor"
    return None
