"""Data sets of referring expressions: a sample is an image with all its expressions. RefCOCO in any of its formats."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from densevl.core.errors import UsageError
from densevl.datasets.annotated_images import AnnotatedImages
from densevl.datasets.referring.annotations import ReferredImage
from densevl.datasets.referring.detections import read_detections
from densevl.datasets.referring.importers import find_annotations, import_refer
from densevl.datasets.referring.splits import Benchmark, benchmark

__all__ = ["PROPOSALS", "ReferringDataset", "ReferringImages"]

PROPOSALS = {
    "true": "true boxes: every annotated object of the image",
    "detections": "detected boxes kept with the annotations",
    "everything": "all masks that the mask maker finds in the image",
    "detector": "boxes that the detector finds by the expression",
}
"""Sources of the boxes that expressions choose from.

These are different protocols: figures of one do not compare with those of another.
"""


class ReferringImages(AnnotatedImages):
    """Images with their refs.

    Attributes:
        proposals: a name of :data:`PROPOSALS`, for the model.
    """

    def _setup(self, images: Sequence[ReferredImage], proposals: str) -> None:
        self.images, self.proposals = tuple(images), proposals
        boxes = [len(image.candidates[proposals]) for image in images if proposals in image.candidates]
        self.protocol = {
            "proposals": PROPOSALS[proposals] + (f" (mean {np.mean(boxes):.1f})" if boxes else ""),
            "expressions": sum(image.expressions for image in images),
            "refs": sum(len(image.refs) for image in images),
        }

    def annotations(self, index: int) -> dict[str, Any]:
        """The refs of an image and the boxes to choose from."""
        image = self.images[index]
        boxes = image.candidates.get(self.proposals)
        return {"relative_path": image.file_name, "refs": image.refs, "boxes": boxes}


@DATASETS.register_module()
class ReferringDataset(ReferringImages):
    """A split of RefCOCO, RefCOCO+ or RefCOCOg, from its annotation file and the images.

    Args:
        dataset: ``refcoco``, ``refcoco+`` or ``refcocog``.
        data_root: folder of annotations and images.
        split: such as ``val`` or ``testA``.
        splits_by: ``unc``, ``umd`` or ``google``; None for the usual one.
        annotations: file of any format of :mod:`densevl.datasets.referring.importers`, or densevl's own; None to look
            for it in ``data_root``.
        instances: COCO's ``instances.json``, for formats that hold no boxes of other objects.
        proposals: a name of :data:`PROPOSALS`, or a file of detections.
        image_folder: of the images, below ``data_root`` or anywhere; None to look in the usual places.
        indices: use the first so many images only.

    Raises:
        UsageError: where split, annotations or proposals cannot be used, or no image is there.
    """

    def __init__(
        self,
        dataset: str,
        data_root: str,
        split: str = "val",
        splits_by: str | None = None,
        annotations: str | None = None,
        instances: str | None = None,
        proposals: str = "true",
        image_folder: str | None = None,
        indices: int | None = None,
    ) -> None:
        root, chosen = Path(data_root).expanduser(), benchmark(dataset, splits_by)
        split = chosen.split(split)
        file = find_annotations(root, chosen, split) if annotations is None else _below(root, annotations)
        places = None if instances is None else _below(root, instances)
        data = import_refer(file, None, chosen.name, chosen.splits_by, None, places)
        images = data.of_split(split)[:indices]
        if (data.dataset, data.splits_by) != (chosen.name, chosen.splits_by):
            raise UsageError(
                f"{file} holds {data.dataset} split by {data.splits_by}; expected {chosen.name} by {chosen.splits_by}"
            )
        self.title, self.source = f"{chosen.title} {split} (split by {chosen.splits_by.upper()})", str(file)
        name, images = _with_proposals(images, proposals, root, file)
        self.folders = _folders(root, image_folder)
        self._paths = [self._find(image.file_name) for image in images]
        self._check_images()
        self._setup(images, name)
        origin = {"detections": str(proposals)} if proposals not in PROPOSALS else {}
        skipped = ", ".join(f"{count} {reason}" for reason, count in data.skipped.items())
        self.protocol = {**self.protocol, **origin, "annotations": data.source, "not_in_the_file": skipped or "nothing"}
        self.caveats = _caveats(chosen, split, images, skipped)

    def path(self, index: int) -> str:
        """The file of a sample's image."""
        return str(self._paths[index])

    def _find(self, name: str) -> Path:
        places = [folder / name for folder in self.folders]
        return next((place for place in places if place.is_file()), places[0])

    def _check_images(self) -> None:
        missing = [path for path in self._paths if not path.is_file()]
        if len(missing) == len(self._paths):
            looked = ", ".join(map(str, self.folders))
            raise UsageError(
                f"{self.title}: none of the {len(missing)} images is there, such as {missing[0].name}; looked in "
                f"{looked}; put COCO's train2014 images there or set test_dataloader.dataset.image_folder=FOLDER"
            )


def _below(root: Path, name: str) -> Path:
    path = Path(name).expanduser()
    return path if path.is_file() else root / path


def _folders(root: Path, image_folder: str | None) -> list[Path]:
    """Folders where images may lie; messages name the first where they are nowhere."""
    if image_folder is not None:
        given = Path(image_folder).expanduser()
        return [given if given.is_dir() else root / given]
    names = ("train2014", "images/train2014", "images/mscoco/images/train2014", "coco/train2014", "images", ".")
    return [place / name for place in (root, root.parent) for name in names]


def _with_proposals(
    images: tuple[ReferredImage, ...], proposals: str, root: Path, file: Path
) -> tuple[str, tuple[ReferredImage, ...]]:
    """The name of the protocol, and the images with the boxes that it chooses from."""
    if proposals not in PROPOSALS:
        path = _below(root, proposals)
        if not path.is_file():
            raise UsageError(
                f"proposals {proposals!r} are neither a file of detections nor one of {', '.join(PROPOSALS)}"
            )
        found = read_detections(path)
        if not any(image.image_id in found for image in images):
            raise UsageError(f"{path} has no detections of these images; it lists {len(found)} others")
        with_boxes = (replace(i, candidates={"detections": found.get(i.image_id, ())}) for i in images)
        return "detections", tuple(with_boxes)
    if proposals in ("true", "detections") and not any(image.candidates.get(proposals) for image in images):
        cure = "name COCO's instances.json with test_dataloader.dataset.instances=FILE"
        if proposals == "detections":
            cure = "name a file of detections as proposals=FILE"
        raise UsageError(f"{file} does not tell {PROPOSALS[proposals]}; {cure}, or choose other proposals")
    return proposals, images


def _caveats(chosen: Benchmark, split: str, images: Sequence[ReferredImage], skipped: str) -> list[str]:
    found, expected = sum(image.expressions for image in images), chosen.splits[split]
    caveats = list(chosen.leaks)
    if expected is None:
        caveats.append(f"{found} expressions; how many the split should have is not recorded")
    elif found != expected:
        caveats.append(f"{found} of the split's {expected} expressions: not comparable with published figures")
    if skipped:
        caveats.append(f"left out of the annotations: {skipped}")
    return caveats
