"""WebDataset tars: the files of a record lie one behind the other and share their name up to its first dot.

``day1/cat.jpg`` (the image as it was), ``day1/cat.txt`` (its caption) and ``day1/cat.json``
(:meth:`RegionTextRecord.as_dict`). Dots and per cent signs of a key are written as in URLs (``%2E``), because the first
dot of a name ends the key. What the shard says of itself (:class:`ShardHead`) lies in the archive's global header,
which other readers pass over. Members carry no time and no owner: the same records give the same bytes.

Of foreign tars (img2dataset's, GRIT's) images, ``txt`` and ``json`` are read and nothing else: members that would
have to be unpickled (``pyd``, ``pickle``, ``pth``) are passed over.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from densevl.core.inputs.remote import open_stored
from densevl.datasets.region_texts.record import RegionTextRecord
from densevl.datasets.region_texts.sample import PICTURES, Sample, picture_suffix
from densevl.datasets.region_texts.shard import ShardHead, cut_off

__all__ = ["read_tar", "tar_bytes", "tar_head"]

NAME = re.compile(r"((?:.*/)?[^/.]+)\.([^/]*)", re.DOTALL)
"""Key and kind of a member, as WebDataset tells them apart."""

KINDS = (*PICTURES, "txt", "json")


def tar_bytes(records: Iterable[RegionTextRecord], head: ShardHead) -> bytes:
    """A shard of records: the same records give the same bytes.

    Args:
        records: in their order, their keys different.
        head: what the shard says of itself.

    Raises:
        UsageError: where an image is of no kind that shards hold.
    """
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers=head.as_texts()) as tar:
        for record in records:
            for name, data in _members(record):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, BytesIO(data))
    return file.getvalue()


def _members(record: RegionTextRecord) -> list[tuple[str, bytes]]:
    image = record.encoded_image
    name = record.key.replace("%", "%25").replace(".", "%2E")
    caption = [] if record.caption is None else [(f"{name}.txt", record.caption.encode())]
    content = json.dumps(record.as_dict(), ensure_ascii=False).encode()
    # The JSON comes last: a record that has it is whole.
    return [(f"{name}.{picture_suffix(image)}", image), *caption, (f"{name}.json", content)]


def tar_head(path: Path) -> ShardHead | None:
    """The head of a tar; None where it is not ours.

    Raises:
        ShardError: where it is no tar, or its beginning is damaged.
        OSError: where it cannot be opened.
    """
    with path.open("rb") as file, _opened(path, file) as tar:
        return _head(path, tar)


def _opened(path: Path | str, file: BinaryIO) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:")
    except tarfile.TarError as error:
        raise cut_off(path, 0, None, None, str(error)) from None


def _head(path: Path | str, tar: tarfile.TarFile) -> ShardHead | None:
    try:
        return ShardHead.from_texts(tar.pax_headers)
    except ValueError as error:
        raise cut_off(path, 0, None, None, str(error)) from None


def read_tar(path: Path | str) -> Iterator[Sample]:
    """The records of a tar, here or at a URL, each when all of it has been read.

    Raises:
        ShardError: behind the last whole record, where the tar is cut off or damaged there.
        ImageError: where the object at a URL cannot be had.
        OSError: where it cannot be opened.
    """
    whole, last = 0, None
    with open_stored(path) as file, _opened(path, file) as tar:
        head = _head(path, tar)
        expected = None if head is None else head.records
        try:
            for sample in _samples(tar, file, head is not None):
                whole, last = whole + 1, sample.key if head is None else unquote(sample.key)
                yield sample
        except tarfile.TarError as error:
            raise cut_off(path, whole, last, expected, str(error)) from None
    if expected is not None and whole != expected:
        raise cut_off(path, whole, last, expected, f"it says that it has {expected} records, and has {whole}")


def _samples(tar: tarfile.TarFile, archive: BinaryIO, ours: bool) -> Iterator[Sample]:
    key = ""
    fields: dict[str, bytes] = {}
    try:
        for found, kind, member in _headers(tar, archive):
            if found != key and fields:
                yield Sample(key, fields)
                fields = {}
            key = found
            fields[kind] = _data(tar, member)
    except tarfile.TarError:
        if ours and "json" in fields:
            yield Sample(key, fields)
        raise
    if fields:
        yield Sample(key, fields)


def _headers(tar: tarfile.TarFile, archive: BinaryIO) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Key and kind of each file that is of use.

    Raises:
        tarfile.ReadError: where a header is damaged, or the archive ends without its end mark.
    """
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # tarfile keeps what it has seen, however large the archive is
        name = NAME.fullmatch(member.name)
        if name is not None and member.isreg() and name[2].lower() in KINDS:
            yield name[1], name[2].lower(), member
    # tarfile takes any header that it cannot read for the end of the archive.
    archive.seek(tar.offset)
    mark = archive.read(tarfile.BLOCKSIZE)
    if mark.strip(b"\0") or len(mark) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("a damaged header" if mark else "no end mark")


def _data(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    data = b"" if file is None else file.read()
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data
