"""Stores: how a file keeps its vectors, as float32, as float16, or as int8 with one scale a vector.

What is kept is what is searched: every cosine is that of the decoded vector, so a search of a smaller store is as exact
as any. What a smaller store costs is how far a decoded vector c lies from the vector v that was embedded. For a unit
query q the cosine moves by no more than |c - v|, because of Cauchy and Schwarz:

========  =============  =====================================  ==================================
store     bytes          decoded                                \\|c - v| at most
========  =============  =====================================  ==================================
float32   4 d            the numbers                            0
float16   2 d            the numbers                            2^-11 (the rounding of each number)
int8      d + 4          codes · scale, made of unit length     2 · sqrt(d) · max|v| / 254
========  =============  =====================================  ==================================

An int8 code is ``round(127 · v / max|v|)``. It lies within half a step of v, so the whole vector within
sqrt(d) · max|v| / 254, and making it of unit length moves it by no more than that again. Vectors of d = 512 whose
numbers are normally distributed have max|v| of about 0.14 and move by 0.012 at most: a cosine by 0.0003 on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError, suggestion

__all__ = ["STORES", "Stored", "Vectors", "check_store", "coded", "decoded", "encoded", "store_of"]

STORES = {"float32": torch.float32, "float16": torch.float16, "int8": torch.int8}
"""Names of the stores and the type of what they keep."""


@runtime_checkable
class Vectors(Protocol):
    """Rows of numbers, read by a slice or by their places when they are needed; a tensor is one of its kind."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __getitem__(self, rows: Any, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Stored:
    """Vectors as a file keeps them; what is read of them is decoded.

    Attributes:
        values: numbers or codes (n, d), of a type of :data:`STORES`.
        scales: what the codes of a vector are multiplied by; None where there are no codes.
    """

    values: Vectors
    scales: Float32[Tensor, " n"] | None = None

    @property
    def shape(self) -> Sequence[int]:
        """(n, d)."""
        return self.values.shape

    def __getitem__(self, rows: slice | Int64[Tensor, " m"]) -> Float32[Tensor, "m d"]:
        return decoded(*coded(self, rows))


def coded(vectors: Vectors, rows: slice | Int64[Tensor, " m"]) -> tuple[Tensor, Float32[Tensor, " m"] | None]:
    """Numbers or codes of rows as they are kept, and the scales of codes."""
    if not isinstance(vectors, Stored):
        return vectors[rows], None
    return vectors.values[rows], None if vectors.scales is None else vectors.scales[rows]


def decoded(values: Tensor, scales: Float32[Tensor, " m"] | None) -> Float32[Tensor, "m d"]:
    """The vectors that :func:`coded` gave; the same memory where they are kept as they are."""
    return values.float() if scales is None else values.float().mul_(scales[:, None])


def encoded(vectors: Float[Tensor, "n d"], store: str) -> tuple[Tensor, Float32[Tensor, " n"] | None]:
    """Vectors as a store keeps them: numbers or codes (n, d), and the scales of codes.

    Args:
        vectors: unit vectors.
        store: one of :data:`STORES`.
    """
    check_store(store)
    if store != "int8":
        return vectors.to(STORES[store]), None
    largest = vectors.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    codes = (vectors * (127 / largest)).round_()
    return codes.to(torch.int8), 1 / codes.norm(dim=1).clamp(min=1)


def store_of(vectors: Vectors) -> str:
    """The name of the store of vectors."""
    kept = coded(vectors, slice(0, 0))[0].dtype
    return next(name for name, dtype in STORES.items() if dtype == kept)


def check_store(store: str) -> None:
    """Refuse a store that there is not.

    Raises:
        UsageError: where its name is unknown.
    """
    if store not in STORES:
        raise UsageError(f"store {store!r} is unknown; {suggestion(str(store), STORES)}")
