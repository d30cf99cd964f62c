"""Examples as vectors of regions: each image is read and encoded once, whatever its examples and views are.

With flips the mirror image is encoded as well. It belongs to the same image wherever images are held out.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.examples import Example
from densevl.regions.embedders.embedder import space_of
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.teaching.views import mirror_image, mirrored, views_of

__all__ = ["region_vectors", "regions_of"]

TOGETHER = 8
"""Images that are encoded together."""

Placed = list[tuple[list[int], Regions]]
"""Regions of one image, and of which example each is; those with masks and those without are apart."""


def region_vectors(
    examples: Sequence[Example],
    labels: Sequence[int],
    pipeline: RegionPipeline,
    views: int = 0,
    seed: int = 0,
    flip: bool = False,
) -> LabelledVectors:
    """The vectors of examples, and after them those of their views, which count as one example together.

    Args:
        examples: of any number of images.
        labels: class of each.
        pipeline: makes masks where there are none, and vectors.
        views: of each example, beside itself.
        seed: of the views.
        flip: encode the mirror image of each image, too; the mirrored examples and views are further views.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where a region does not fit its image.
    """
    places = {path: place for place, path in enumerate(dict.fromkeys(example.image for example in examples))}
    of_image: list[list[int]] = [[] for _ in places]
    for number, example in enumerate(examples):
        of_image[places[example.image]].append(number)
    rows: list[list[Tensor]] = [[] for _ in examples]
    remaining, rng = iter(places.items()), np.random.default_rng(seed)
    with tqdm(total=len(places), desc="teaching", unit="image", delay=2, disable=None) as progress:
        while batch := list(islice(remaining, TOGETHER)):
            images = [read_image(path) for path, _ in batch]
            members = [[(number, examples[number]) for number in of_image[place]] for _, place in batch]
            for numbers, vectors in _embedded(images, members, pipeline, views, rng, flip):
                for number, vector in zip(numbers, vectors, strict=True):
                    rows[number].append(vector)
            progress.update(len(batch))
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
    members: Sequence[Sequence[tuple[int, Example]]],
    pipeline: RegionPipeline,
    views: int,
    rng: np.random.Generator,
    flip: bool,
) -> list[tuple[list[int], Float[Tensor, "_ d"]]]:
    """Of several images, the number of the example and the vector of each region, then of its views, then of all these
    in the mirror image."""
    numbers: list[list[int]] = []
    pictures, regions = [], []
    for image, own in zip(images, members, strict=True):
        for found, placed in regions_of(image, own, pipeline):
            prepared = pipeline.prepare(image, placed)
            _check_masks_made(prepared, own)
            numbers.append(found * (views + 1))
            pictures.append(image)
            regions.append(_joined([prepared, *views_of(prepared, views, rng)]))
    passes = [pipeline.embed(pictures, regions)]
    if flip:
        passes.append(pipeline.embed([*map(mirror_image, pictures)], [*map(mirrored, regions)]))
    embedded = [torch.cat([one.vectors for one in each]) for each in zip(*passes, strict=True)]
    for found, vectors in zip(numbers, embedded, strict=True):
        if not vectors.isfinite().all():
            raise UsageError(f"the vector of example {found[0] + 1} is not finite; look at its image and the weights")
    return [(found * len(passes), vectors) for found, vectors in zip(numbers, embedded, strict=True)]


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
