"""What second encoders made of the last few images, so that several heads that ask for the same run them once.

An entry is found by who made it and by the pixels themselves, which are kept beside it and compared: nothing is found
for other pixels, and a comparison costs a small part of a pass of an encoder.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["KEPT", "Kept"]

MOST_BYTES = 2**28
"""256 MiB, images included."""


class Kept:
    """The last results of encoders, within a number of bytes; the one that was asked for longest ago goes first.

    Args:
        most: bytes of all results and images together; what is larger by itself is not kept.

    Attributes:
        spared: seconds that the present reader did not need because another had the result made; see
            :meth:`read_by_another`.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.spared = 0.0
        self._seconds: dict[int, float] = {}
        self._charged: set[int] = set()
        self._found: OrderedDict[tuple[Hashable, int], tuple[Tensor, Any]] = OrderedDict()
        self._count = 0

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(_bytes(entry) for entry in self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def clear(self) -> None:
        """Let everything go."""
        self._found.clear()
        self._seconds.clear()

    def read_by_another(self) -> None:
        """Begin to count for a new reader what others have made, each result once."""
        self.spared = 0.0
        self._charged.clear()

    def get(self, maker: Hashable, images: Float[Tensor, "b 3 H W"], make: Callable[[], Any]) -> Any:
        """What a maker makes of images, made now or kept.

        Args:
            maker: everything but the images that decides the result.
            images: what the result is of, by their values.
            make: makes the result, of tensors in tuples; nobody may write into them.
        """
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return make()
        maker = (maker, tuple(images.shape), images.dtype, images.device)
        for key, (pixels, result) in self._found.items():
            if key[0] == maker and torch.equal(pixels, images):
                self._found.move_to_end(key)
                if key[1] not in self._charged:
                    self._charged.add(key[1])
                    self.spared += self._seconds.get(key[1], 0.0)
                return result
        started = _now(images)
        result = make()
        size = _bytes((images, result))
        if size <= self.most:
            while self._found and self.bytes + size > self.most:
                (_, number), _ = self._found.popitem(last=False)
                self._seconds.pop(number, None)
            self._count += 1
            self._charged.add(self._count)
            self._seconds[self._count] = _now(images) - started
            self._found[maker, self._count] = (images.clone(), result)
        return result


KEPT = Kept()
"""What all guides of this process share."""


def _now(images: Tensor) -> float:
    """The time when everything that was asked of the device of images is done."""
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return perf_counter()


def _bytes(value: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for inner in value:
            yield from _tensors(inner)
