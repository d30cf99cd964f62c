"""Examples as vectors of regions: each image is read and encoded once, whatever its examples and views are.

With flips the mirror image is encoded as well. It belongs to the same image wherever images are held out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.core.engine import HERE, Engine, Worker, all_of
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.examples import Example
from densevl.regions.embedders.embedder import space_of
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.teaching.views import mirror_image, mirrored, skip_view, views_of

__all__ = ["ExampleRecipe", "ExampleWorker", "ShownImage", "region_vectors", "regions_of"]

TOGETHER = 8
"""Images that are encoded together."""

Placed = list[tuple[list[int], Regions]]
"""Regions of one image, and of which example each is; those with masks and those without are apart."""


Vectors = tuple[list[int], Float32[np.ndarray, "_ _"]]
"""The number of the example and the vector of each region, then of its views, then of all these mirrored."""


@dataclass(frozen=True)
class ShownImage:
    """An image with its examples.

    Attributes:
        path: of the image.
        examples: each with its number.
        chance: state of the source of chance before the views of this image.
    """

    path: Path
    examples: tuple[tuple[int, Example], ...]
    chance: dict[str, Any]

    @property
    def place(self) -> str:
        """The image in words."""
        return str(self.path)


class ExampleWorker(Worker[ShownImage, UInt8[np.ndarray, "H W 3"], list[Vectors], list[Vectors]]):
    """Reads images and embeds their examples and views.

    Args:
        pipeline: makes masks where there are none, and vectors.
        views: of each example, beside itself.
        flip: encode the mirror image of each image, too.
    """

    batch = TOGETHER

    def __init__(self, pipeline: RegionPipeline, views: int, flip: bool) -> None:
        self.pipeline, self.views, self.flip = pipeline, views, flip

    def read(self, item: ShownImage) -> UInt8[np.ndarray, "H W 3"]:
        """The image."""
        return read_image(item.path)

    def make(self, items: Sequence[ShownImage], read: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[list[Vectors]]:
        """The vectors of images."""
        return _embedded(list(read), items, self.pipeline, self.views, self.flip)

    def write(self, item: ShownImage, made: list[Vectors]) -> list[Vectors]:
        """Nothing is written; the vectors are handed on."""
        return made


@dataclass(frozen=True)
class ExampleRecipe:
    """How another process makes its worker.

    Attributes:
        pipeline: makes what makes vectors; it can be sent there.
        views: of each example, beside itself.
        flip: encode the mirror image of each image, too.
    """

    pipeline: Callable[[], RegionPipeline]
    views: int
    flip: bool

    def __call__(self) -> ExampleWorker:
        """The worker.

        Raises:
            DensevlError: where the model cannot be loaded there.
        """
        return ExampleWorker(self.pipeline(), self.views, self.flip)


def region_vectors(
    examples: Sequence[Example],
    labels: Sequence[int],
    pipeline: RegionPipeline,
    views: int = 0,
    seed: int = 0,
    flip: bool = False,
    engine: Engine = HERE,
    again: Callable[[], RegionPipeline] | None = None,
) -> LabelledVectors:
    """The vectors of examples, and after them those of their views, which count as one example together.

    Args:
        examples: of any number of images.
        labels: class of each.
        pipeline: makes masks where there are none, and vectors.
        views: of each example, beside itself.
        seed: of the views.
        flip: encode the mirror image of each image, too; the mirrored examples and views are further views.
        engine: where images are encoded; the vectors are the same to the last bit where its threads are.
        again: makes the pipeline in other processes; needed where the engine has any.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where a region does not fit its image.
    """
    places = {path: place for place, path in enumerate(dict.fromkeys(example.image for example in examples))}
    items = _shown(examples, places, views, pipeline.embedder.needs_masks, np.random.default_rng(seed))
    rows: list[list[Tensor]] = [[] for _ in examples]
    own = ExampleWorker(pipeline, views, flip)
    recipe = None if again is None else ExampleRecipe(again, views, flip)
    with tqdm(total=len(places), desc="teaching", unit="image", delay=2, disable=None) as progress:
        for said in all_of(engine, recipe, items, own):
            for numbers, vectors in said:
                for number, vector in zip(numbers, torch.from_numpy(vectors), strict=True):
                    rows[number].append(vector)
            progress.update()
    every = torch.stack([torch.stack(own) for own in rows]).transpose(0, 1).float().cpu()  # view by view
    shown = (views + 1) * (1 + flip)
    things = torch.arange(len(examples)).repeat(shown)
    return LabelledVectors(
        every.flatten(0, 1),
        torch.tensor(labels).repeat(shown),
        pipeline.embedder.encoder.model_id,
        space_of(pipeline.embedder),
        torch.tensor([places[example.image] for example in examples]).repeat(shown),
        torch.full((len(things),), 1 / shown),
        things,
        _captions(examples, pipeline, shown),
    )


def _shown(
    examples: Sequence[Example], places: dict[Path, int], views: int, masked: bool, rng: np.random.Generator
) -> list[ShownImage]:
    """The images with their examples; the views of each are drawn as if all images were looked at one by one.

    Args:
        examples: of any number of images.
        places: of the images.
        views: of each example.
        masked: whether boxes get masks.
        rng: source of chance.
    """
    members: list[list[tuple[int, Example]]] = [[] for _ in places]
    for number, example in enumerate(examples):
        members[places[example.image]].append((number, example))
    items = []
    for path, own in zip(places, members, strict=True):
        items.append(ShownImage(path, tuple(own), dict(rng.bit_generator.state)))
        drawn = sum(one.mask is not None or (one.point is not None and one.box is None) for _, one in own)
        for count, has_masks in ((len(own) - drawn, masked), (drawn, True)):  # the order of regions_of
            for _ in range(views if count else 0):
                skip_view(count, has_masks, rng)
    return items


def regions_of(
    image: UInt8[np.ndarray, "H W 3"], examples: Sequence[tuple[int, Example]], pipeline: RegionPipeline
) -> Placed:
    """The regions of the examples of one image.

    A point is the region that the mask maker finds there.

    Args:
        image: RGB.
        examples: each with its number.
        pipeline: its mask maker makes masks of points.

    Raises:
        UsageError: where a region does not fit the image, or points are given and nothing makes masks of them.
    """
    size, bare, masked = image.shape[:2], {}, {}
    for number, example in examples:
        mask, point = example.mask_in(size), example.point_in(size)
        if mask is None and point is not None and example.box is None:
            mask = _mask_at(image, point, example, pipeline)
        if mask is None:
            bare[number] = example.box_in(size)
        else:
            masked[number] = mask
    found = []
    if bare:
        found.append((list(bare), Regions.from_boxes([list(box) for box in bare.values()], size)))
    if masked:
        found.append((list(masked), Regions.from_masks(torch.stack(list(masked.values())))))
    return found


def _mask_at(
    image: UInt8[np.ndarray, "H W 3"], point: tuple[float, float], example: Example, pipeline: RegionPipeline
) -> Tensor:
    maker = pipeline.mask_maker
    if maker is None:
        raise UsageError(f"{example.place}: this model makes no masks of points; give a box or a mask, or take mini")
    mask = maker.from_points(image, [[list(point)]])[0].cpu()
    if not mask.any():
        raise UsageError(f"{example.place}: nothing is found at the point {point}; give a box or a mask")
    return mask


def _embedded(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    items: Sequence[ShownImage],
    pipeline: RegionPipeline,
    views: int,
    flip: bool,
) -> list[list[Vectors]]:
    """The vectors of several images, which are encoded together."""
    numbers: list[list[int]] = []
    pictures, regions, owners = [], [], []
    for place, (image, item) in enumerate(zip(images, items, strict=True)):
        rng = np.random.default_rng()
        rng.bit_generator.state = item.chance
        for found, placed in regions_of(image, item.examples, pipeline):
            prepared = pipeline.prepare(image, placed)
            _check_masks_made(prepared, item.examples)
            numbers.append(found * (views + 1))
            pictures.append(image)
            regions.append(_joined([prepared, *views_of(prepared, views, rng)]))
            owners.append(place)
    passes = [pipeline.embed(pictures, regions)]
    if flip:
        passes.append(pipeline.embed([*map(mirror_image, pictures)], [*map(mirrored, regions)]))
    embedded = [torch.cat([one.vectors for one in each]) for each in zip(*passes, strict=True)]
    made: list[list[Vectors]] = [[] for _ in items]
    for place, found, vectors in zip(owners, numbers, embedded, strict=True):
        if not vectors.isfinite().all():
            raise UsageError(f"the vector of example {found[0] + 1} is not finite; look at its image and the weights")
        made[place].append((found * len(passes), vectors.float().cpu().numpy()))
    return made


def _check_masks_made(regions: Regions, examples: Sequence[tuple[int, Example]]) -> None:
    """Refuse a box in which the mask maker finds nothing."""
    if regions.masks is not None and not regions.masks.flatten(1).any(1).all():
        raise UsageError(f"{examples[0][1].place}: the mask maker finds nothing in a box of this image; give masks")


def _joined(sets: Sequence[Regions]) -> Regions:
    """Several sets of regions of one image as one."""
    masks = [one.masks for one in sets if one.masks is not None]
    return Regions(torch.cat([one.boxes for one in sets]), sets[0].size, torch.cat(masks) if masks else None)


def _captions(examples: Sequence[Example], pipeline: RegionPipeline, shown: int) -> Float[Tensor, "n d"] | None:
    """The vectors of the captions, and of names where an example has none, once for each time that all examples are
    shown; None where none has one."""
    if not any(example.caption for example in examples):
        return None
    texts = [example.caption or example.name for example in examples]
    known = list(dict.fromkeys(texts))
    vectors = dict(
        zip(known, F.normalize(pipeline.embedder.encoder.embed_texts(known, ["{}"]).float(), dim=1), strict=True)
    )
    return torch.stack([vectors[text] for text in texts]).repeat(shown, 1).cpu()
