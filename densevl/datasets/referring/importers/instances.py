"""COCO's annotations of objects, which tell all boxes and masks of an image."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.core.geometry import Box, Size
from densevl.datasets.referring.collection import boxes_of, identity

__all__ = ["Instances"]


@dataclass(frozen=True)
class Instances:
    """The images and objects of an ``instances.json``.

    Attributes:
        images: by id.
        annotations: by id.
        by_image: the annotations of each image.
        duplicates: ids that occur more than once, by what they are of; the first counts.
    """

    images: dict[int | str, dict[str, Any]]
    annotations: dict[int | str, dict[str, Any]]
    by_image: dict[int | str, list[dict[str, Any]]]
    duplicates: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> "Instances":
        """Read a file in COCO's format.

        Raises:
            UsageError: where it is missing or of another format.
        """
        content = read_json(path)
        duplicates: Counter[str] = Counter()
        tables: dict[str, dict[int | str, dict[str, Any]]] = {"images": {}, "annotations": {}}
        try:
            for name, table in tables.items():
                for record in content[name]:
                    if table.setdefault(identity(record["id"]), record) is not record:
                        duplicates[f"duplicate {name}"] += 1
            by_image: dict[int | str, list[dict[str, Any]]] = {key: [] for key in tables["images"]}
            for annotation in tables["annotations"].values():
                by_image.setdefault(identity(annotation["image_id"]), []).append(annotation)
        except (KeyError, TypeError) as error:
            raise UsageError(f"{path} is not in the format of COCO's instances ({error!r})") from None
        return cls(tables["images"], tables["annotations"], by_image, dict(duplicates))

    def boxes(self, image_id: int | str) -> tuple[Box, ...]:
        """The boxes of all objects of an image, crowds too."""
        return boxes_of(self.by_image.get(image_id, []))

    def size(self, image_id: int | str) -> Size | None:
        """(height, width) of an image."""
        record = self.images.get(image_id)
        return None if record is None else (int(record["height"]), int(record["width"]))
