"""Examples of tuning: their regions, image by image, and those that are held out."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.examples import Example
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.teaching.region_vectors import regions_of
from densevl.training.tuning.looks import Shown

__all__ = ["held_out_numbers", "shown_regions"]

LEAST = 4
"""Examples that each class keeps at least to learn from."""


def shown_regions(examples: Sequence[Example], kind: str, pipeline: RegionPipeline) -> Iterator[Shown]:
    """The regions of the examples, image by image.

    Args:
        examples: of any images.
        kind: one of :data:`densevl.api.tuning_kinds.KINDS`.
        pipeline: makes masks where its embedder needs them.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where a region does not fit its image, or a whole image is of two classes.
    """
    of_image: dict[Path, list[tuple[int, Example]]] = defaultdict(list)
    for number, example in enumerate(examples):
        of_image[example.image].append((number, example))
    for path, members in of_image.items():
        image = read_image(path)
        if kind == "images":
            other = next((one for _, one in members if one.name != members[0][1].name), None)
            if other is not None:
                raise UsageError(
                    f"{other.place}: the image {path} is {members[0][1].name!r} and {other.name!r}; tune --for regions"
                )
            whole = Regions.whole((image.shape[0], image.shape[1]))
            yield Shown(path, whole[[0] * len(members)], [number for number, _ in members])
            continue
        for numbers, regions in regions_of(image, members, pipeline):
            prepared = pipeline.prepare(image, regions)
            if prepared.masks is not None and not prepared.masks.flatten(1).any(1).all():
                raise UsageError(
                    f"{members[0][1].place}: the mask maker finds nothing in a box of this image; give masks"
                )
            yield Shown(path, prepared, numbers)


def held_out_numbers(
    examples: Sequence[Example], labels: Sequence[int], part: int | float, seed: int
) -> tuple[int, ...]:
    """Numbers of examples to hold out, all of an image together, as far as each class keeps enough to learn from.

    Args:
        examples: of any images.
        labels: class of each.
        part: of the images, at most.
        seed: chooses the images.
    """
    of_image: dict[Path, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        of_image[example.image].append(number)
    images, left, found = list(of_image), Counter(labels), []
    most = int(part * len(images))
    for place in np.random.default_rng(seed).permutation(len(images)).tolist():
        numbers = of_image[images[place]]
        lost = Counter(labels[number] for number in numbers)
        if most > 0 and all(left[label] - count >= LEAST for label, count in lost.items()):
            left, most = left - lost, most - 1
            found += numbers
    return tuple(sorted(found))
