"""The work of a labelling run, divided into parts that become one shard each.

The parts follow from the sorted list of inputs alone, so that a run that was stopped goes on where it was. A part of
images has a fixed number of them; a shard of images and captions is a part by itself.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any, TypeVar

from densevl.core.errors import ShardError, UsageError
from densevl.core.failures import Failure
from densevl.core.files import InputFile, file_state
from densevl.core.inputs import Input, find_inputs
from densevl.core.inputs.braces import expand_braces
from densevl.core.inputs.remote import RemoteImage, is_remote, stored_state
from densevl.datasets.region_texts.shards import is_shard, read_records, remote_shards, shard_paths
from densevl.tasks.annotation.captions import Captions, caption_beside, text_beside

__all__ = ["CaptionedImage", "Part", "plan_parts", "read_part"]

AT_ONCE = 32
"""Objects of a bucket that are asked for together."""
MOST_WAITING = 4 * AT_ONCE
"""Questions that wait for an answer at most."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class CaptionedImage:
    """An image to be labelled.

    Attributes:
        key: its name, unique in the run.
        image: where it is, or its encoded bytes.
        captions: of the image, none or several.
    """

    key: str
    image: Input | bytes
    captions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.key if isinstance(self.image, bytes) else self.image.name


@dataclass(frozen=True)
class Part:
    """The work of one shard.

    Attributes:
        index: from 0.
        identity: of its inputs: their names, their sizes in bytes (of objects of a bucket their states), and the
            captions that were given for them.
        images: (image, captions) of each; the name of its results is its key. Nothing where the input is a shard.
        shard: images and captions, by path or URL; None where the inputs are images.
    """

    index: int
    identity: str
    images: tuple[tuple[Input, tuple[str, ...]], ...] = ()
    shard: str | None = None

    @property
    def place(self) -> str:
        """The part in lists of failures: its shard, or the first of its images."""
        return self.shard or f"shard {self.index}, from {self.images[0][0].name}"


def plan_parts(
    sources: Sequence[str | os.PathLike[str]],
    size: int,
    captions: Captions | None = None,
    captioner: bool = False,
    exclude: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> list[Part]:
    """The parts of a run.

    Args:
        sources: images, as :func:`densevl.core.inputs.find_inputs` takes them; or shards, folders or globs of those.
            Both may lie in buckets.
        size: images of a part.
        captions: of the images; None for text files beside them.
        captioner: whether a model writes captions where there are none.
        exclude: folder whose files do not count: that of the results.
        offline: refuse the network.

    Raises:
        UsageError: where there is no input, images and shards come together, or there is no caption at all and nobody
            to write them; or a bucket is named offline or cannot be reached.
    """
    names = [name for source in sources for name in expand_braces(os.fspath(source))]
    if any(_names_shards(name, offline) for name in names):
        shards = shard_paths(names, offline)
        versions = _at_once(_version, shards)
        return [
            _part(i, (), [os.path.basename(path), version], str(path))
            for i, (path, version) in enumerate(zip(shards, versions, strict=True))
        ]
    inputs = find_inputs(names, exclude, offline=offline)
    images = [(item, captions.of(item.name, item.relative) if captions else ()) for item in inputs]
    beside = captions is None and any(_at_once(_has_text, inputs))
    if not captioner and not beside and not any(of_image for _, of_image in images):
        raise UsageError(
            f"none of the {len(images)} images has a caption; name a file of captions (--captions), put a text file "
            "beside each image (cat.txt beside cat.jpg), or let a model write them "
            "(--captioner Salesforce/blip-image-captioning-base)"
        )
    groups = [tuple(images[i : i + size]) for i in range(0, len(images), size)]
    return [_part(index, group, _known(group)) for index, group in enumerate(groups)]


def read_part(part: Part) -> Iterator[CaptionedImage | Failure]:
    """The images of a part, and what cannot be read."""
    if part.shard is not None:
        try:
            for record in read_records(part.shard):
                own = [] if record.caption is None else [record.caption]
                yield CaptionedImage(record.key, record.encoded_image, tuple(own))
        except (ShardError, UsageError) as error:
            yield Failure(part.shard, str(error))
        return
    for item, captions in part.images:
        try:
            yield CaptionedImage(item.relative, item, captions or _text_beside(item))
        except UsageError as error:
            yield Failure(item.name, str(error))


def _names_shards(name: str, offline: bool) -> bool:
    if is_shard(name):
        return True
    if is_remote(name):
        return not (has_magic(name) or os.path.splitext(name)[1]) and any(remote_shards(name, offline))
    path = Path(os.path.expanduser(name))
    return path.is_dir() and any(is_shard(inner) for inner in path.iterdir())


def _part(
    index: int, images: tuple[tuple[Input, tuple[str, ...]], ...], known: object, shard: str | None = None
) -> Part:
    identity = hashlib.sha256(json.dumps(known, ensure_ascii=False).encode()).hexdigest()[:16]
    return Part(index, identity, images, shard)


def _text_beside(item: Input) -> tuple[str, ...]:
    """The caption in a text beside an image; nothing where there is none, or it has no place of its own."""
    if isinstance(item, InputFile | RemoteImage):
        return caption_beside(item.path if isinstance(item, InputFile) else item.url)
    return ()


def _has_text(item: Input) -> bool:
    if isinstance(item, InputFile):
        return item.path.with_suffix(".txt").is_file()
    return isinstance(item, RemoteImage) and bool(stored_state(text_beside(item.url)))


def _at_once(ask: Callable[[Asked], Answer], about: Sequence[Asked]) -> Iterator[Answer]:
    """The answers about files one after the other, and of others, which take their time, many together."""
    if all(isinstance(one, InputFile | Path) for one in about):
        yield from map(ask, about)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(about), MOST_WAITING):
            yield from pool.map(ask, about[start : start + MOST_WAITING])


def _known(images: Sequence[tuple[Input, tuple[str, ...]]]) -> list[Any]:
    versions = _at_once(_version, [item for item, _ in images])
    return [[item.relative, version, words] for (item, words), version in zip(images, versions, strict=True)]


def _version(one: Input | Path | str) -> int | list[int]:
    """The bytes of a file, -1 where it is not there, or the state of an image or a shard that is elsewhere."""
    if isinstance(one, InputFile | Path):
        state = file_state(one.name if isinstance(one, InputFile) else one)
        return state[0] if state else -1
    return list(stored_state(one) if isinstance(one, str) else one.state())
