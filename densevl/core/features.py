"""The values that pass between the stages: dense features of images, embeddings of texts.

They are immutable and carry the identity of the model that made them, so that features of one model are never
compared with texts of another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Extent, Size, first_cells
from densevl.core.vocabulary import Vocabulary

__all__ = ["ClosedSet", "DenseFeatures", "Embedded", "TextEmbeddings", "TextVectors", "check_same_model"]


@dataclass(frozen=True, eq=False)
class DenseFeatures:
    """Image features on the patch grid, in the joint image-text space.

    Attributes:
        grid: one vector for each patch, not normalised; rows run down, columns run right. Those of a feature stack lie
            in a space of their own.
        patch_size: side of a patch in pixels of the encoded input, rounded where the grid was stretched.
        model_id: identity of the encoder and its weights.
        keys: by which patches are compared, where they were needed: of the last attention, heads concatenated, or
            made by a refiner of earlier maps.
        maps: maps of earlier blocks by name, such as ``"blocks.-3.ln_2"``; those of convolutions on grids of their own.
        foreground: logit of each patch showing a thing rather than background, where a refiner knows it.
        summary: what each image looks like in short, the mean over its patches of what the middle block of the encoder
            puts out; no readout or refiner changes it.
        extent: what the grid covers evenly, in pixels of each encoded image; None for patches of ``patch_size`` pixels
            from the upper left corner.
        whole: one vector for each image, in the joint space and not normalised, where a readout was asked for it.
        regions: the region of each cell of a grid of its own, below 0 for none, where a readout made regions or a mask
            maker was asked for those of the image.
        attention: the scores of the class token and each patch in each head of the last attention, before the softmax,
            where a readout was asked for them.
    """

    grid: Float[Tensor, "n d h w"]
    patch_size: int
    model_id: str
    keys: Float[Tensor, "n c h w"] | None = None
    maps: Mapping[str, Float[Tensor, "n _ _ _"]] = field(default_factory=dict)
    foreground: Float[Tensor, "n h w"] | None = None
    summary: Float[Tensor, "n _"] | None = None
    extent: Extent | None = None
    whole: Float[Tensor, "_ d"] | None = None
    regions: Int[Tensor, "_ _ _"] | None = None
    attention: Float[Tensor, "_ _ _ _"] | None = None

    @classmethod
    def cat(cls, batches: "Sequence[DenseFeatures]") -> "DenseFeatures":
        """Join features of equal grids along the batch."""
        first = batches[0]
        if len(batches) == 1:
            return first
        maps = {name: torch.cat([p.maps[name] for p in batches]) for name in first.maps}
        optional = {name: _cat([getattr(p, name) for p in batches]) for name in OPTIONAL}
        grid = torch.cat([p.grid for p in batches])
        return cls(grid, first.patch_size, first.model_id, maps=maps, extent=first.extent, **optional)

    def inside(self, size: Size) -> "DenseFeatures":
        """The features without the rows and columns of patches that lie wholly outside of the encoded images.

        An image ends inside of the encoder's last patches, where it is continued, but maybe before the last smaller
        patches that a refiner has made; windows count theirs from their own size.

        Args:
            size: of the images.
        """
        patch = self.patch_size
        height, width = ((side + patch - 1) // patch for side in size)  # ONNX divides negatives otherwise
        keys, foreground = self.keys, self.foreground
        return replace(
            self,
            grid=first_cells(self.grid, height, width),
            keys=None if keys is None else first_cells(keys, height, width),
            maps={name: first_cells(value, height, width) for name, value in self.maps.items()},
            foreground=None if foreground is None else first_cells(foreground, height, width),
        )

    def split(self, sizes: Sequence[int]) -> "list[DenseFeatures]":
        """Cut along the batch into pieces of the given sizes; the inverse of :meth:`cat`."""
        count = list(sizes)
        grids = self.grid.split(count)
        maps = {name: value.split(count) for name, value in self.maps.items()}
        optional = {name: value.split(count) for name in OPTIONAL if (value := getattr(self, name)) is not None}
        return [
            DenseFeatures(
                grid,
                self.patch_size,
                self.model_id,
                maps={name: pieces[i] for name, pieces in maps.items()},
                extent=self.extent,
                **{name: pieces[i] for name, pieces in optional.items()},
            )
            for i, grid in enumerate(grids)
        ]


OPTIONAL = ("keys", "foreground", "summary", "whole", "regions", "attention")
"""Fields of :class:`DenseFeatures` that are there where somebody needed or made them."""


def _cat(values: Sequence[Tensor | None]) -> Tensor | None:
    """Tensors joined along the batch; None where one is missing."""
    there = [value for value in values if value is not None]
    return torch.cat(there) if len(there) == len(values) else None


@dataclass(frozen=True, eq=False)
class ClosedSet:
    """The classes that an encoder was trained to tell apart, and those of them that each query covers.

    Their logits are had back from a unit vector u of the encoder's space as ``weight · u / u_last``.

    Attributes:
        weight: of each of the m classes.
        covers: whether a query covers a class.
        rest: index in the vocabulary of the class that stands for everything that no query covers; None for none.
    """

    weight: Float[Tensor, "m d"]
    covers: Bool[Tensor, "q m"]
    rest: int | None = None


@dataclass(frozen=True, eq=False)
class TextEmbeddings:
    """A vocabulary as unit vectors, and the class that each of them stands for.

    Attributes:
        vectors: one unit vector for each query.
        query_classes: index in the vocabulary of the class of each query.
        vocabulary: the classes, the background class among them where there is one.
        model_id: identity of the encoder and its weights.
        templates: name of the templates that the queries were set into.
        threshold: pixels whose best probability is below this are background; None for off. The background class
            then has no query of its own.
        delta: patches whose best probability is below this and that show no thing, as the model's head has it, are
            background; None for off.
        closed_set: what the queries cover, where the encoder was trained to tell certain classes apart; None otherwise.
        each: unit vectors of each query in each of its templates, where a classifier reads them.
    """

    vectors: Float[Tensor, "q d"]
    query_classes: Int[Tensor, " q"]
    vocabulary: Vocabulary
    model_id: str
    templates: str
    threshold: float | None = None
    delta: float | None = None
    closed_set: ClosedSet | None = None
    each: Float[Tensor, "q t d"] | None = None

    @cached_property
    def owners(self) -> Int[Tensor, " q"]:
        """The class of each query on the CPU; copied once, since a GPU is waited for."""
        return self.query_classes.cpu()

    @cached_property
    def one_each(self) -> bool:
        """True where there is one query for each class, in their order."""
        return torch.equal(self.owners, torch.arange(len(self.vocabulary), dtype=self.owners.dtype))


@dataclass(frozen=True, eq=False)
class TextVectors:
    """Texts as unit vectors, one each.

    Attributes:
        vectors: in the order of the texts.
        texts: as given.
        model_id: identity of the model; compare only with images and regions of the same.
    """

    vectors: Float[Tensor, "q d"]
    texts: tuple[str, ...]
    model_id: str

    def __len__(self) -> int:
        return len(self.texts)


@runtime_checkable
class Embedded(Protocol):
    """Features of images or regions that say which model made them."""

    @property
    def model_id(self) -> str: ...


def check_same_model(features: Embedded, texts: TextEmbeddings | TextVectors) -> None:
    """Refuse to compare vectors of different models.

    Raises:
        UsageError: where the two identities differ.
    """
    if features.model_id != texts.model_id:
        raise UsageError(
            f"the image was encoded by {features.model_id!r} and the texts by {texts.model_id!r}; "
            "encode both with the same model"
        )
