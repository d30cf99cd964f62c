"""Where the data of lenses come from: a file of labelled images, or scenes that are drawn here."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8

from densevl.core.errors import UsageError, shortened
from densevl.core.files import expand_inputs, parse_json
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.examples import Example, read_examples
from densevl.datasets.scenes import Scene, render
from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import CLASSES, NEW_CLASSES, NEW_SHAPE_CLASSES

__all__ = ["NOTHING", "SIDE", "LabelledImage", "Source"]

SIDE = 128
"""Side of the scenes in pixels."""

NOTHING = -1
"""Label of a pixel of which nothing is known."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and what is known of it.

    Attributes:
        name: for reports.
        read: gives the image, RGB (H, W, 3).
        names: of its regions.
        place: gives the regions for the (height, width) of the image.
        masked: whether each region has a mask, so that its pixels are labelled, too.
        scene: everything that is known of it where it was drawn here; None otherwise.
    """

    name: str
    read: Callable[[], UInt8[np.ndarray, "H W 3"]]
    names: tuple[str, ...]
    place: Callable[[tuple[int, int]], Regions]
    masked: bool
    scene: Scene | None = None

    def pixels(self, size: tuple[int, int]) -> tuple[Int[np.ndarray, "H W"], tuple[str, ...]]:
        """The label of each pixel, :data:`NOTHING` where no region covers it, and the names that labels stand for.

        Where masks overlap, a pixel belongs to the smallest; of a scene, grounds are labelled, too.

        Args:
            size: (height, width) of the image.
        """
        if self.scene is not None:
            return self.scene.labels.astype(np.int64), _names_of(self.scene)
        regions = self.place(size)
        labels = np.full(size, NOTHING, np.int64)
        if regions.masks is not None:
            for index in regions.areas.argsort(descending=True).tolist():
                labels[regions.masks[index].numpy()] = index
        return labels, self.names


@dataclass(frozen=True, eq=False)
class Source:
    """Where lenses find their data.

    Attributes:
        file: labelled images in any layout of `densevl teach`, or what else a lens reads; None to draw scenes.
        images: folder of the images of the file; None for where the layout keeps them.
        scenes: number of scenes that are drawn where there is no file.
        seed: number of their collection.
        strangers: names that are none of the classes.
    """

    file: Path | None = None
    images: Path | None = None
    scenes: int = 100
    seed: int = 0
    strangers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.file is None and self.scenes < 1:
            raise UsageError(f"scenes: at least 1 is drawn where no TEST is given; got {self.scenes}")
        if self.file is not None and not self.file.exists():
            raise UsageError(f"there is no TEST at {self.file}; give a file or a folder of labelled images")

    def __str__(self) -> str:
        """What the data are, for reports."""
        return str(self.file) if self.file else f"{self.scenes} scenes of {SIDE}×{SIDE} pixels, seed {self.seed}"

    def labelled(self, lens: str, masks: bool = False, **drawing: Any) -> list[LabelledImage]:
        """Images with named regions: those of the file, or drawn ones with their objects.

        Args:
            lens: that asks, for errors.
            masks: whether every region needs a mask.
            drawing: settings of :func:`densevl.datasets.scenes.render`, where scenes are drawn.

        Raises:
            UsageError: where the file cannot be used, or a region has no mask.
        """
        if self.file is None:
            return [_of_scene(index, scene) for index, scene in enumerate(self.drawn(lens, **drawing)) if scene.objects]
        found = self._read
        bare = next((one for image in found for one in image if one.mask is None), None) if masks else None
        if bare is not None:
            raise UsageError(f"the lens {lens!r} needs masks, and {bare.place or self.file} has none; draw it")
        return [_of_examples(examples) for examples in found]

    def drawn(self, lens: str, count: int | None = None, offset: int = 0, **drawing: Any) -> list[Scene]:
        """Scenes of the split ``val``, of the seed of the source.

        Args:
            lens: that asks, for errors.
            count: of scenes; None for that of the source.
            offset: number of the first.
            drawing: further settings of :func:`densevl.datasets.scenes.render`.

        Raises:
            UsageError: where a file was given instead.
        """
        if self.file is not None:
            raise UsageError(
                f"the lens {lens!r} needs scenes, of which everything is known, and {self.file} holds others; "
                "leave TEST out to draw some"
            )
        settings = {"size": SIDE, "split": "val", **drawing}
        return [render(self.seed, offset + index, **settings) for index in range(count or self.scenes)]

    def content(self, lens: str, wanted: str) -> Any:
        """What the file holds, read as JSON, for lenses with a layout of their own.

        Args:
            lens: that asks, for errors.
            wanted: layout that it needs, for errors.

        Raises:
            UsageError: where there is no file, or it is no JSON.
        """
        if self.file is None:
            raise UsageError(f"the lens {lens!r} needs {wanted}; give its file as TEST")
        try:
            return parse_json(self.file.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UsageError(
                f"the lens {lens!r} needs {wanted}; {self.file} cannot be read: {shortened(str(error))}"
            ) from None

    def some_images(self, count: int) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        """The first images of the file, or of the folder of its images; none where scenes are drawn.

        Args:
            count: of them, at most.
        """
        if self.file is None:
            return []
        try:
            paths = [examples[0].image for examples in self._read]
        except UsageError:  # of a layout of its own
            folder = self.images or (self.file if self.file.is_dir() else self.file.parent / "images")
            paths = [image.path for image in expand_inputs([str(folder)])] if folder.is_dir() else []
        return [read_image(path) for path in paths[:count]]

    @cached_property
    def _read(self) -> list[list[Example]]:
        """The examples of the file, image by image."""
        assert self.file is not None
        of_image: dict[Path, list[Example]] = {}
        for example in read_examples(self.file, self.images):
            of_image.setdefault(example.image, []).append(example)
        return list(of_image.values())


def _of_examples(examples: Sequence[Example]) -> LabelledImage:
    path = examples[0].image
    masked = all(example.mask is not None for example in examples)

    def place(size: tuple[int, int]) -> Regions:
        if masked:
            masks = [example.mask_in(size) for example in examples]
            return Regions.from_masks(torch.stack([mask for mask in masks if mask is not None]))
        return Regions.from_boxes([list(example.box_in(size)) for example in examples], size)

    return LabelledImage(str(path), lambda: read_image(path), tuple(one.name for one in examples), place, masked)


def _of_scene(index: int, scene: Scene) -> LabelledImage:
    names = tuple(item.name for item in scene.objects)

    def place(size: tuple[int, int]) -> Regions:
        masks = torch.from_numpy(np.stack([item.mask for item in scene.objects]))
        return Regions(torch.tensor([item.box for item in scene.objects]).float(), size, masks)

    return LabelledImage(f"scene {index}", lambda: scene.image, names, place, True, scene)


def _names_of(scene: Scene) -> tuple[str, ...]:
    """What the labels of a scene stand for."""
    new = {item.name for item in scene.objects} - set(CLASSES)
    return CLASSES if not new else NEW_CLASSES if new <= set(NEW_CLASSES[len(GROUNDS) :]) else NEW_SHAPE_CLASSES
