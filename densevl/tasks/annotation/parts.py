"""The work of a labelling run, divided into parts that become one shard each.

The parts follow from the sorted list of inputs alone, so that a run that was stopped goes on where it was. A part of
images has a fixed number of them; a shard of images and captions is a part by itself.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from densevl.core.errors import ShardError, UsageError
from densevl.core.failures import Failure
from densevl.core.files import expand_inputs
from densevl.datasets.region_texts.shards import FORMATS, read_records, shard_paths
from densevl.tasks.annotation.captions import Captions, caption_beside

__all__ = ["CaptionedImage", "Part", "plan_parts", "read_part"]


@dataclass(frozen=True)
class CaptionedImage:
    """An image to be labelled.

    Attributes:
        key: its name, unique in the run.
        image: the file, or the bytes of one.
        captions: of the image, none or several.
    """

    key: str
    image: Path | bytes
    captions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.key if isinstance(self.image, bytes) else str(self.image)


@dataclass(frozen=True)
class Part:
    """The work of one shard.

    Attributes:
        index: from 0.
        identity: of its inputs: their names, their sizes in bytes, and the captions that were given for them.
        images: (key, path, captions) of each image; nothing where the input is a shard.
        shard: images and captions; None where the inputs are images.
    """

    index: int
    identity: str
    images: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    shard: str | None = None

    @property
    def place(self) -> str:
        """The part in lists of failures: its shard, or the first of its images."""
        return self.shard or f"shard {self.index}, from {self.images[0][1]}"


def plan_parts(
    sources: Sequence[str | os.PathLike[str]],
    size: int,
    captions: Captions | None = None,
    captioner: bool = False,
    exclude: str | os.PathLike[str] | None = None,
) -> list[Part]:
    """The parts of a run.

    Args:
        sources: images, folders or globs of them; or shards, folders or globs of those.
        size: images of a part.
        captions: of the images; None for text files beside them.
        captioner: whether a model writes captions where there are none.
        exclude: folder whose files do not count: that of the results.

    Raises:
        UsageError: where there is no input, images and shards come together, or there is no caption at all and nobody
            to write them.
    """
    if any(map(_names_shards, sources)):
        shards = shard_paths(list(sources))
        return [_part(i, (), [path.name, _bytes(path)], str(path)) for i, path in enumerate(shards)]
    files = expand_inputs(sources, exclude)
    images = [
        (item.relative, str(item.path), captions.of(item.path, item.relative) if captions else ()) for item in files
    ]
    beside = captions is None and any(item.path.with_suffix(".txt").is_file() for item in files)
    if not captioner and not beside and not any(of_image for _, _, of_image in images):
        raise UsageError(
            f"none of the {len(images)} images has a caption; name a file of captions (--captions), put a text file "
            "beside each image (cat.txt beside cat.jpg), or let a model write them "
            "(--captioner Salesforce/blip-image-captioning-base)"
        )
    groups = [images[i : i + size] for i in range(0, len(images), size)]
    return [
        _part(index, tuple(group), [[key, _bytes(Path(path)), words] for key, path, words in group])
        for index, group in enumerate(groups)
    ]


def read_part(part: Part) -> Iterator[CaptionedImage | Failure]:
    """The images of a part, and what cannot be read."""
    if part.shard is not None:
        try:
            for record in read_records(part.shard):
                own = [] if record.caption is None else [record.caption]
                yield CaptionedImage(record.key, record.image, tuple(own))
        except ShardError as error:
            yield Failure(part.shard, str(error))
        return
    for key, path, captions in part.images:
        try:
            yield CaptionedImage(key, Path(path), captions or caption_beside(Path(path)))
        except UsageError as error:
            yield Failure(path, str(error))


def _names_shards(source: str | os.PathLike[str]) -> bool:
    path = Path(os.path.expanduser(os.fspath(source)))
    if path.is_dir():
        return any(inner.suffix in FORMATS.values() for inner in path.iterdir())
    return path.suffix in FORMATS.values()


def _part(
    index: int, images: tuple[tuple[str, str, tuple[str, ...]], ...], known: object, shard: str | None = None
) -> Part:
    identity = hashlib.sha256(json.dumps(known, ensure_ascii=False).encode()).hexdigest()[:16]
    return Part(index, identity, images, shard)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
