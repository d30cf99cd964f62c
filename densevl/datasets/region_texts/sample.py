"""One record as a shard stores it, before anything of it is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densevl.core.errors import ImageError, ShardError, UsageError
from densevl.core.files import parse_json
from densevl.core.images import encoded_size
from densevl.datasets.region_texts.grit import grit_regions
from densevl.datasets.region_texts.record import RegionTextRecord

__all__ = ["PICTURES", "Sample", "picture_suffix"]

PICTURES = ("jpg", "jpeg", "png", "webp")
"""Kinds of images, as the members of shards are called."""

_MAGIC = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}


def picture_suffix(data: bytes) -> str:
    """The suffix of the file of an image.

    Raises:
        UsageError: where it is none of the kinds that shards hold.
    """
    for magic, suffix in _MAGIC.items():
        if data.startswith(magic):
            return suffix
    raise UsageError(f"shards hold JPEG, PNG and WebP; this image starts with {data[:8]!r}; convert it")


@dataclass(frozen=True)
class Sample:
    """The files of a record.

    Attributes:
        key: its name in the shard.
        fields: bytes of each file by its kind: an image (:data:`PICTURES`), ``txt`` and ``json``.
    """

    key: str
    fields: Mapping[str, bytes]

    def record(self) -> RegionTextRecord:
        """The record, of our layout, of GRIT's, or an image and its caption without regions.

        Raises:
            ShardError: where the image is missing or a file is damaged.
        """
        try:
            content = parse_json(self.fields.get("json", b"{}"))
            caption = self.fields["txt"].decode() if "txt" in self.fields else content.get("caption")
            return as_record(self.key, self._image(), content, caption)
        except (ImageError, UsageError, ValueError, AttributeError) as error:
            raise ShardError(f"record {self.key!r} cannot be read: {error}") from None

    def _image(self) -> bytes:
        found = [kind for kind in PICTURES if kind in self.fields]
        if not found:
            raise UsageError(f"it has no image ({', '.join(PICTURES)}), only {', '.join(self.fields) or 'nothing'}")
        return self.fields[found[0]]


def as_record(key: str, image: bytes, content: Mapping[str, Any], caption: str | None) -> RegionTextRecord:
    """The record of an image and what is known of it.

    Args:
        key: its name in the shard.
        image: encoded.
        content: :meth:`RegionTextRecord.as_dict`, GRIT's, or anything else.
        caption: of the image.

    Raises:
        ImageError: where the image is none.
        UsageError: where the content is damaged.
    """
    if "regions" in content:
        return RegionTextRecord.from_dict(content, image)
    size = encoded_size(image)
    return RegionTextRecord(key, image, size, caption, grit_regions({"caption": caption, **content}, size))
