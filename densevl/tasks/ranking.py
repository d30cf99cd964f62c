"""An order of images or regions by a text, the best first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["Order", "Ranked", "ordered"]


@dataclass(frozen=True)
class Ranked:
    """An image or a region in an order.

    Attributes:
        image: number of the image among those that were given.
        name: of its file; None where it is none.
        score: the higher, the more of the text it has.
        box: xyxy pixels of the region; None for a whole image.
    """

    image: int
    name: str | None
    score: float
    box: tuple[float, float, float, float] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        named = {"image": self.name if self.name is not None else self.image, "score": round(self.score, 6)}
        return named if self.box is None else {**named, "box": [round(side, 2) for side in self.box]}


@dataclass(frozen=True)
class Order:
    """An order; a sequence of what it orders, the best first.

    Attributes:
        text: by which.
        ranked: the images or regions.
        by: ``"adapter"`` or ``"cosine"``.
        remarks: what must be known to trust it, a line each.
    """

    text: str
    ranked: tuple[Ranked, ...]
    by: str
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ranked)

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.ranked)

    def __getitem__(self, place: int) -> Ranked:
        return self.ranked[place]


def ordered(found: Sequence[Ranked], text: str, by: str, remarks: Sequence[str] = ()) -> Order:
    """The order of what was scored; equal scores stay in the order that they were given in.

    Args:
        found: images or regions with their scores.
        text: by which.
        by: ``"adapter"`` or ``"cosine"``.
        remarks: what must be known.

    Raises:
        UsageError: where a score is not finite.
    """
    scores: Float[Tensor, " n"] = torch.tensor([one.score for one in found])
    broken = torch.nonzero(~scores.isfinite())[:, 0].tolist()
    if broken:
        one = found[broken[0]]
        raise UsageError(
            f"{len(broken)} of {len(found)} scores are not finite, the first that of "
            f"{one.name or f'image {one.image}'}; load the model in float32"
        )
    places = scores.argsort(descending=True, stable=True).tolist()
    return Order(text, tuple(found[place] for place in places), by, tuple(remarks))
