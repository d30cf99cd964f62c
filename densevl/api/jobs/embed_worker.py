"""The work of an embedding job on one image after the other, in whatever process; one process writes the index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from densevl.api.jobs.familiarity import familiarity_record
from densevl.api.jobs.file_digests import full_state
from densevl.api.loading import Loading
from densevl.api.model import Model
from densevl.classifiers.familiarity import Familiarity
from densevl.core.engine import Worker
from densevl.core.geometry import Size
from densevl.core.inputs import Input
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.regions.proposals import ProposalFile, grid_regions
from densevl.tasks.search import IndexedImage, Part
from densevl.tasks.search.part import check_vectors

__all__ = ["EmbedRecipe", "EmbedWorker", "Embedded"]


class Embedded(NamedTuple):
    """What is said of an image that was embedded: arrays, which are small where they are sent to another process.

    Attributes:
        size: (height, width) of the image.
        state: of the image as it was read, see :func:`densevl.api.jobs.file_digests.full_state`.
        boxes: of the regions.
        scores: of the proposals; NaN where their maker gave none.
        vectors: one unit vector a region.
        model_id: identity of the model that made them.
        masks: run-length codes of the regions; None where masks are not kept.
        familiarity: what is known of the image's kind; None where nothing is.
    """

    size: Size
    state: tuple[int, ...]
    boxes: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, " n"]
    vectors: Float32[np.ndarray, "n d"]
    model_id: str
    masks: tuple[str, ...] | None
    familiarity: dict[str, Any] | None

    def part(self, image: IndexedImage, model: Mapping[str, Any]) -> Part:
        """The part of an index that holds this image alone.

        Args:
            image: this one, as the index names it.
            model: what loads the model, and what decided its vectors, as JSON values.
        """
        rows = torch.zeros(len(self.boxes), dtype=torch.int64)
        boxes, scores, vectors = map(torch.from_numpy, (self.boxes, self.scores, self.vectors))
        return Part((image,), rows, boxes, scores, vectors, self.model_id, dict(model), self.masks)


class Found(NamedTuple):
    """What was found in an image; the attributes are those of :class:`Embedded`."""

    state: tuple[int, ...]
    regions: Regions
    vectors: RegionEmbeddings
    familiarity: dict[str, Any] | None


Seen = tuple[UInt8[np.ndarray, "_ _ 3"], tuple[int, ...]]
"""An image and its state, which was asked before the image was read."""


class EmbedWorker(Worker[Input, Seen, Found, Embedded]):
    """Reads images, proposes their regions and embeds them.

    Args:
        model: the loaded model.
        regions: boxes by image; or ``"grid"``, ``"whole"``, or what the model proposes.
        masks: whether to keep the masks of regions that have some.
        batch: images that are encoded together.
    """

    def __init__(self, model: Model, regions: ProposalFile | str, masks: bool, batch: int) -> None:
        self.model, self.regions, self.masks, self.batch = model, regions, masks, batch

    def read(self, item: Input) -> Seen:
        """The image and its state."""
        state = full_state(item)
        return item.read(), state

    def make(self, items: Sequence[Input], read: Sequence[Seen]) -> list[Found]:
        """Propose and embed the regions of images, and tell their kinds."""
        images = [image for image, _ in read]
        proposed = [self._propose(image, item) for item, image in zip(items, images, strict=True)]
        embedded = self.model.embed_regions(images, proposed)
        for item, vectors in zip(items, embedded, strict=True):
            check_vectors(vectors.vectors, Path(item.place).name)
        kinds = self._kinds(images)
        states = [state for _, state in read]
        return [Found(*made) for made in zip(states, proposed, embedded, kinds, strict=True)]

    def write(self, item: Input, made: Found) -> Embedded:
        """Nothing is written here; the masks are encoded, and what was found is handed on."""
        size = made.regions.size
        part = Part.of([IndexedImage(item.place, size)], [made.regions], [made.vectors], masks=self.masks)
        boxes, scores, vectors = (values.numpy() for values in (part.boxes, part.scores, part.vectors[:]))
        codes = None if part.masks is None else tuple(part.masks[row] for row in range(len(part)))
        return Embedded(size, made.state, boxes, scores, vectors, part.model_id, codes, made.familiarity)

    def _propose(self, image: UInt8[np.ndarray, "H W 3"], item: Input) -> Regions:
        size = (image.shape[0], image.shape[1])
        if isinstance(self.regions, ProposalFile):
            return self.regions.regions(size, Path(item.place).name)
        if self.regions == "whole":
            return Regions.whole(size)
        return grid_regions(size) if self.regions == "grid" else self.model.propose(image)

    def _kinds(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[dict[str, Any] | None]:
        known = self.model.known
        if known is None:
            return [None] * len(images)
        return [familiarity_record(known, p) for p in self.model.familiarity(list(images))]


@dataclass(frozen=True)
class EmbedRecipe:
    """How another process makes its worker.

    Attributes:
        loading: of the model.
        known: what tells the images that the model knows from others; None for nothing.
        regions: see :class:`EmbedWorker`.
        masks: whether to keep the masks of regions that have some.
        batch: images that are encoded together.
    """

    loading: Loading
    known: Familiarity | None
    regions: ProposalFile | str
    masks: bool
    batch: int

    def __call__(self) -> EmbedWorker:
        """The worker.

        Raises:
            DensevlError: where the model cannot be loaded there.
        """
        model = self.loading.load()
        model.known = self.known
        return EmbedWorker(model, self.regions, self.masks, self.batch)
