"""Examples as images with masks, each image read when it is asked for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from jaxtyping import Bool
from torch import Tensor

from densevl.core.geometry import Size
from densevl.core.images import read_image
from densevl.datasets.examples import Example
from densevl.tasks.teaching.masked_cells import MaskedImage

__all__ = ["ExampleMasks", "mask_of_example"]


class ExampleMasks(Sequence[MaskedImage]):
    """The images of examples, in the order in which they are first named, with a mask for each example.

    Args:
        examples: of one image or of many.
        labels: class of each.
    """

    def __init__(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        self._images: dict[Path, list[tuple[Example, int]]] = {}
        for example, label in zip(examples, labels, strict=True):
            self._images.setdefault(example.image, []).append((example, label))
        self._paths = list(self._images)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def __iter__(self) -> Iterator[MaskedImage]:
        """The images, one after another."""
        return (self._read(path) for path in self._paths)

    @overload
    def __getitem__(self, place: int) -> MaskedImage: ...
    @overload
    def __getitem__(self, place: slice) -> "Sequence[MaskedImage]": ...
    def __getitem__(self, place: Any) -> Any:
        """An image, or a part of the images.

        Raises:
            ImageError: where it cannot be read.
            UsageError: where an example does not fit it.
        """
        if isinstance(place, slice):
            part = [pair for path in self._paths[place] for pair in self._images[path]]
            return ExampleMasks([example for example, _ in part], [label for _, label in part])
        return self._read(self._paths[place])

    def _read(self, path: Path) -> MaskedImage:
        image, pairs = read_image(path), self._images[path]
        masks = torch.stack([mask_of_example(example, image.shape[:2]) for example, _ in pairs])
        return MaskedImage(image, masks, torch.tensor([label for _, label in pairs]))


def mask_of_example(example: Example, size: Size) -> Bool[Tensor, "H W"]:
    """The pixels of an example: its mask, the pixel of its point, those of its box, or the whole image.

    Args:
        example: of an image.
        size: (height, width) of the image.

    Raises:
        UsageError: where it does not fit the image.
    """
    mask, point = example.mask_in(size), example.point_in(size)
    if mask is not None:
        return mask
    found = torch.zeros(size, dtype=torch.bool)
    if point is not None:
        found[int(point[1]), int(point[0])] = True
        return found
    left, top, right, bottom = (round(side) for side in example.box_in(size))
    found[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    return found
