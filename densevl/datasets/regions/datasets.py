"""Data sets of annotated boxes: COCO and LVIS, FG-OVD, and scenes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from mmengine.registry import DATASETS

from densevl.core.errors import UsageError
from densevl.datasets.annotated_images import AnnotatedImages
from densevl.datasets.regions.annotations import AnnotatedImage, AnnotatedRegion, find_image, read_annotations
from densevl.datasets.scenes import CLASSES, GROUNDS, HELD_OUT, Scene, render

__all__ = ["CaptionedRegions", "HeldOutScenes", "NamedRegions", "RegionsDataset", "SceneRegions", "placed"]


class RegionsDataset(AnnotatedImages):
    """Images with annotated regions, and the texts that these are compared with.

    Attributes:
        texts: class names or captions.
    """

    def _setup(
        self,
        texts: Sequence[str],
        images: Sequence[AnnotatedImage],
        indices: int | None,
        groups: Mapping[str, list[int]] | None = None,
    ) -> None:
        self.texts = tuple(texts)
        self.images = images[:indices]
        self.metainfo = {"classes": self.texts, "groups": dict(groups or {})}

    def annotations(self, index: int) -> dict[str, Any]:
        """The regions of an image, and the group that they count in."""
        return {"group": self.images[index].group, "regions": self.images[index].regions}


class _FileRegions(RegionsDataset):
    """Regions of annotation files and the images beside them."""

    def _read(
        self,
        data_root: str,
        files: Sequence[Path],
        image_folder: str,
        indices: int | None,
        negatives: int | None = None,
    ) -> None:
        """Take the regions of all files, each of which is a group; equal texts are one."""
        root = Path(data_root).expanduser()
        self.source = data_root
        texts: dict[str, int] = {}
        images: list[AnnotatedImage] = []
        groups: dict[str, list[int]] = {}
        skipped: list[str] = []
        for file in files:
            found = read_annotations(file, negatives)
            index = [texts.setdefault(text, len(texts)) for text in found.texts]
            images += [_renumbered(placed(image, root, image_folder), index, file.stem) for image in found.images]
            for name, members in found.groups.items():
                groups.setdefault(name, []).extend(index[member] for member in members)
            place = f" ({file.stem})" if len(files) > 1 else ""
            skipped += [f"{count} {reason}{place}" for reason, count in found.skipped.items()]
        self._setup(tuple(texts), images, indices, groups)
        self.protocol = {"boxes": "true", "left_out": ", ".join(skipped) or "nothing"}


@DATASETS.register_module()
class NamedRegions(_FileRegions):
    """Boxes of a file in the format of COCO or LVIS, and the names of all its categories to choose from.

    Scores are also given by how frequent a category is, where the file says it, as LVIS does.

    Args:
        title: what reports call it.
        data_root: folder that holds annotations and images.
        annotations: the file, below ``data_root`` or anywhere.
        image_folder: folder of the images below ``data_root``.
        expected: number of images of the whole benchmark.
        indices: use the first so many images only.

    Raises:
        UsageError: where the annotations cannot be used or an image is missing.
    """

    def __init__(
        self,
        title: str,
        data_root: str,
        annotations: str,
        image_folder: str,
        expected: int | None = None,
        indices: int | None = None,
    ) -> None:
        self.title, self.expected = title, expected
        self._read(data_root, [Path(data_root).expanduser() / annotations], image_folder, indices)


@DATASETS.register_module()
class CaptionedRegions(_FileRegions):
    """Boxes of FG-OVD, each with its true caption and hard negatives.

    Args:
        data_root: folder that holds annotations and images.
        annotations: files below ``data_root``, separated by commas; None for all its ``.json`` files. Each is a group.
        image_folder: folder of the images below ``data_root``.
        negatives: use the first so many negatives of each region, and leave out regions that have fewer; None for all.
        expected: number of images of the whole benchmark.
        indices: use the first so many images only.

    Raises:
        UsageError: where the annotations cannot be used or an image is missing.
    """

    def __init__(
        self,
        data_root: str,
        annotations: str | None = None,
        image_folder: str = "images",
        negatives: int | None = None,
        expected: int | None = None,
        indices: int | None = None,
    ) -> None:
        if negatives is not None and negatives < 1:
            raise UsageError(f"negatives must be at least 1; got {negatives}")
        root = Path(data_root).expanduser()
        files = [root / name.strip() for name in (annotations or "").split(",") if name.strip()]
        files = files or sorted(root.glob("*.json"))
        if not files:
            raise UsageError(f"there is no annotation file in {root}; set --cfg-options data_root=FOLDER")
        self.title, self.expected = "FG-OVD", expected
        self._read(data_root, files, image_folder, indices, negatives)
        self.protocol = {**self.protocol, "negatives": negatives or "all"}


class HeldOutScenes(RegionsDataset):
    """Held-out scenes, drawn anew each time that they are looked at."""

    source = "drawn while needed"

    def __init__(self, title: str, seed: int, length: int, size: int) -> None:
        self.title, self.seed, self.expected, self.size = title, seed, length, size

    def scene(self, index: int) -> Scene:
        """The scene of a number."""
        return render(self.seed, index, size=self.size, split="val")

    def picture(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """The image of a sample."""
        return self.scene(index).image


@DATASETS.register_module()
class SceneRegions(HeldOutScenes):
    """Objects of held-out scenes with their true boxes, and the 64 pairs of colour and shape to choose from.

    Args:
        seed: number of the collection.
        length: number of scenes.
        size: side of the square images.
        indices: use the first so many scenes only.
    """

    def __init__(self, seed: int = 1, length: int = 500, size: int = 128, indices: int | None = None) -> None:
        super().__init__("scenes, objects", seed, length, size)
        names = CLASSES[len(GROUNDS) :]
        unseen = [label for label, name in enumerate(names) if tuple(name.split()) in HELD_OUT]
        groups = {"seen pairs": [i for i in range(len(names)) if i not in unseen], "never-seen pairs": unseen}
        images = []
        for index in range(length if indices is None else min(indices, length)):
            regions = tuple(AnnotatedRegion(o.box, names.index(o.name)) for o in self.scene(index).objects)
            images.append(AnnotatedImage(f"scenes/{index:06d}.png", (size, size), regions))
        self._setup(names, images, None, groups)
        self.protocol = {"boxes": "true"}


def placed(image: AnnotatedImage, root: Path, folder: str) -> AnnotatedImage:
    """The image by the path of its file; see :func:`find_image`.

    Raises:
        UsageError: where there is no such file.
    """
    path = find_image(image.file_name, root, folder)
    if not path.is_file():
        places = f"{root / folder} or {root}"
        raise UsageError(f"there is no image {image.file_name} in {places}; set data_root and image_folder")
    return replace(image, file_name=str(path))


def _renumbered(image: AnnotatedImage, index: Sequence[int], group: str) -> AnnotatedImage:
    """The image in a group, with texts numbered over several files."""
    regions = tuple(
        replace(
            region,
            truth=index[region.truth],
            choices=None if region.choices is None else tuple(index[choice] for choice in region.choices),
        )
        for region in image.regions
    )
    return replace(image, regions=regions, group=group)
