"""What arguments name: images in files, folders, globs, lists, tables, archives, videos, buckets and on the web."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from glob import has_magic, iglob
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from densevl.core.errors import MOST_LISTED, ImageError, UsageError
from densevl.core.files import (
    SUFFIXES,
    InputFile,
    below,
    distinct_names,
    expand_argument,
    natural_order,
    nothing_found,
)
from densevl.core.inputs.archives import Archive, is_archive
from densevl.core.inputs.braces import expand_braces
from densevl.core.inputs.contracts import BrokenInput, Input
from densevl.core.inputs.lists import STANDARD_INPUT, read_list
from densevl.core.inputs.parquet_tables import ParquetTable, StoredImage, is_parquet
from densevl.core.inputs.remote import RemoteImage, find_remote, is_remote, stored_state, usable
from densevl.core.inputs.standard_input import StandardInput
from densevl.core.inputs.tables import Entry, TextTable, is_table
from densevl.core.inputs.urls import WebImage, is_url, is_web, url_names
from densevl.core.inputs.videos import Video, is_video

__all__ = ["find_inputs", "open_input"]

Named = tuple[Any, Iterator[str]]
"""An input, a dataclass without its name yet, and ever longer names of its results."""


def find_inputs(
    arguments: Sequence[str | os.PathLike[str]],
    exclude: str | os.PathLike[str] | None = None,
    every: int = 1,
    offline: bool = False,
    column: str | None = None,
) -> list[Input]:
    """The images that arguments name, in their order; an image that several name comes once.

    An argument is

    * what :func:`densevl.core.files.expand_inputs` takes: a file, a folder, a glob;
    * ``@list.txt``, a list of arguments (no globs or further lists), and ``-``, such a list on standard input;
    * ``https://…`` or ``http://…``, an image on the web;
    * ``s3://…``, ``gs://…`` and what else fsspec reads: an object, a folder or a glob;
    * an archive (``.tar``, ``.tar.gz`` and so on), a video (``.mp4`` and so on), a table (``.parquet``, ``.csv``,
      ``.tsv``, ``.jsonl``), or a glob that ends so;
    * any of these with braces: ``shard-{000000..000099}.tar``.

    What is named in a list or a table and is not there, an archive that is damaged and a video that is cut short come
    as inputs that cannot be read, so that they stop nothing.

    Args:
        arguments: as above.
        exclude: folder whose files do not count unless they are named themselves: that of the results.
        every: step between the frames of a video that are taken.
        offline: refuse the network.
        column: of tables that has the images; None for the first of a usual name.

    Raises:
        UsageError: where an argument leads to no image, a folder or a list cannot be read, a URL is named offline, a
            table has no column that is known, or what reads something is not installed.
    """
    finder = _Finder(exclude, every, offline, column)
    found: dict[str, Named] = {}
    missing = []
    for argument in chain.from_iterable(expand_braces(os.fspath(given)) for given in arguments):
        named = list(finder.argument(argument))
        if not named:
            missing.append(f"no image at {argument}" if is_remote(argument) else nothing_found(argument))
        for item, names in named:
            found.setdefault(item.place, (item, names))
    if missing:
        more = [f"and {len(missing) - MOST_LISTED} more"] if len(missing) > MOST_LISTED else []
        raise UsageError("; ".join([*missing[:MOST_LISTED], *more]) + _texts_apart(arguments, bool(found)))
    relatives = distinct_names([names for _, names in found.values()])
    return [replace(item, relative=relative) for (item, _), relative in zip(found.values(), relatives, strict=True)]


def open_input(place: str | os.PathLike[str], offline: bool = False) -> Input:
    """The image at a place, such as that of an input that was found before; one that is not there fails when read.

    Args:
        place: a file, a URL, ``-`` for an image on standard input, or an archive, a video or a Parquet file with the
            name of an image in it, as if it were a folder: ``photos.tar/day1/cat.jpg``, ``clip.mp4/000123``,
            ``photos.parquet/image/000123``.
        offline: refuse the network.

    Raises:
        UsageError: where it is on the network and ``offline`` is set, or what reads it is not installed.
    """
    text = os.fspath(place)
    if text == STANDARD_INPUT:
        return StandardInput()
    if is_web(text):
        item: Any = WebImage(_online(text, offline))
        return replace(item, relative=next(item.names()))
    remote = is_remote(text)
    path = Path(text if remote else _local(text))
    holder: Path | str | None
    if remote:
        pieces = usable(text, offline).split("/")
        folders = ("/".join(pieces[:length]) for length in range(len(pieces) - 1, 2, -1))
        holder = next((folder for folder in folders if _holds(folder)), None)
    else:
        holder = next((folder for folder in path.parents if folder.is_file()), None)
    if holder is None or not _holds(holder):
        return RemoteImage(text, path.stem) if remote else InputFile(_local(text), path.stem)
    inside = text.removeprefix(f"{holder}/") if remote else path.relative_to(holder).as_posix()
    for item, name in _images(holder, stored_state(holder), inside.partition("/")[0] if is_parquet(holder) else None):
        if name == inside:
            return replace(item, relative=path.stem)  # type: ignore[no-any-return]
    return BrokenInput(text, text, f"{text}: {os.path.basename(holder)} has no image {inside!r}", path.stem)


def _holds(path: Path | str) -> bool:
    """True where the name is that of a file that holds images."""
    return is_archive(path) or is_video(path) or is_parquet(path)


@lru_cache(maxsize=4)
def _images(holder: Path | str, state: tuple[int, ...], column: str | None) -> Sequence[tuple[Any, str]]:
    """The images of what holds some, in some state, with their names there; listed once for all of them."""
    if is_archive(holder):
        return Archive(holder).images()
    if is_parquet(holder):
        table = ParquetTable(holder, column)
        held = table.images() if column in table.names and table.holds_images else ()
        return [(image, image.inside) for image, _ in held]
    return Video(Path(holder)).frames()


def _local(path: str) -> str:
    """A path, where it may be a URL of a file of this machine."""
    return url2pathname(path.partition("://")[2]) if is_url(path) else path


def _online(url: str, offline: bool) -> str:
    if offline:
        raise UsageError(f"{url} is on the network, which must not be used offline; fetch it and name the file")
    path = re.split(r"[?#]", url)[0]
    if _holds(path) or is_table(path):
        raise UsageError(f"{url} is no image; fetch it and name the file: only images are read from the web")
    return url


def _texts_apart(arguments: Sequence[str | os.PathLike[str]], found: bool) -> str:
    """The cure where somebody wrote texts one by one behind an image."""
    behind = [os.fspath(argument) for argument in arguments[1:]]
    words = [one for one in behind if not (os.path.lexists(one) or os.path.splitext(one)[1] or os.sep in one)]
    return f'; texts go together in one argument, as in "{words[0]}, …"' if found and words else ""


class _Finder:
    """What arguments name, with the settings of one call."""

    def __init__(
        self, exclude: str | os.PathLike[str] | None, every: int, offline: bool, column: str | None = None
    ) -> None:
        self.exclude, self.every, self.offline, self.column = exclude, every, offline, column

    def argument(self, argument: str) -> Iterator[Named]:
        """The images that an argument names."""
        if argument == STANDARD_INPUT or (argument.startswith("@") and not os.path.lexists(argument)):
            yield from self._list(argument)
        elif is_web(argument):
            yield from self._web(argument)
        elif is_remote(argument):
            try:
                yield from self._remote(argument)
            except ImageError as error:
                raise UsageError(str(error)) from error
        else:
            yield from self._named(_local(argument))

    def _named(self, argument: str) -> Iterator[Named]:
        several = has_magic(argument) and not os.path.lexists(argument)
        if several and (is_archive(argument) or is_video(argument) or is_table(argument)):
            for path in sorted(map(Path, iglob(os.path.expanduser(argument), recursive=True)), key=natural_order):
                yield from self._file(path, path.parent)
        else:
            root, files = expand_argument(argument, self.exclude)
            for file in files:
                yield from self._file(file, root)

    def _list(self, argument: str) -> Iterator[Named]:
        if is_remote(argument[1:]):
            usable(argument[1:], self.offline)
        folder, entries = read_list(argument)
        for where, entry in entries:
            if is_web(entry):
                yield from self._web(entry)
            elif is_remote(entry) or (isinstance(folder, str) and not os.path.isabs(entry)):
                yield from self._listed_remote(entry if is_url(entry) else f"{folder}/{entry}", where)
            else:
                yield from self._listed(Path(folder), _local(entry), where)

    def _listed(self, folder: Path, entry: str, where: str) -> Iterator[Named]:
        path = Path(folder, os.path.expanduser(entry))
        if path.is_dir():
            root, files = expand_argument(str(path), self.exclude)
            for file in files:
                yield from self._file(file, folder if folder in root.parents else root)
        elif path.is_file():
            yield from self._file(path, folder if folder in path.parents else path.parent)
        else:
            reason = f"{entry}: no such file or folder; check {where}"
            yield BrokenInput(entry, os.path.abspath(path), reason), below(path, path.parent)

    def _listed_remote(self, url: str, where: str) -> Iterator[Named]:
        if url.lower().endswith(SUFFIXES):  # an object, which need not be asked for before it is read
            yield RemoteImage(usable(url, self.offline)), url_names(url)
            return
        try:
            named = list(self._remote(url))
        except ImageError as error:
            yield BrokenInput(url, url, f"{error}: {where}"), url_names(url)
            return
        yield from named or [(BrokenInput(url, url, f"{url} has no image; check {where}"), url_names(url))]

    def _remote(self, url: str) -> Iterator[Named]:
        holds = _holds(url) or is_table(url)
        wanted = (lambda name: _holds(name) or is_table(name)) if holds else _is_image
        for place, inner, state in find_remote(usable(url, self.offline), wanted):
            if is_archive(place):
                yield from _inside(Archive(place).images(), url_names(place, inner))
            elif is_table(place):
                yield from self._table(place, url_names(place, inner))
            elif is_video(place):
                reason = f"{place} is a video, which is read from files alone; fetch it and name the file"
                yield BrokenInput(place, place, reason), url_names(place, inner)
            else:
                yield RemoteImage(place, _seen=[state]), url_names(place, inner)

    def _web(self, url: str) -> Iterator[Named]:
        item = WebImage(_online(url, self.offline))
        yield item, item.names()

    def _file(self, path: str | Path, root: Path) -> Iterator[Named]:
        if is_archive(path):
            yield from _inside(Archive(Path(path)).images(), below(path, root))
        elif is_video(path):
            for frame, inside in Video(Path(path)).frames(self.every):
                yield frame, map(_joined(inside), below(path, root))
        elif is_table(path):
            yield from self._table(Path(path), below(path, root))
        else:
            yield InputFile(path, ""), below(path, root)

    def _table(self, path: Path | str, names: Iterator[str]) -> Iterator[Named]:
        table = ParquetTable(path, self.column) if is_parquet(path) else TextTable(path, self.column)
        try:
            if isinstance(table, ParquetTable) and table.holds_images:
                yield from _inside(table.images(), names)
            else:
                for entry in table.entries():
                    yield self._entry(path, entry)
        except ImageError as error:
            yield BrokenInput(str(path), table.place, str(error)), names

    def _entry(self, table: Path | str, entry: Entry | BrokenInput) -> Named:
        """The image that a row of a table names; it is not asked for before it is read."""
        if isinstance(entry, BrokenInput):
            return entry, iter([os.path.basename(entry.place), entry.name.lstrip("/.")])
        text, folder = entry.text, os.path.dirname(table)
        if is_web(text):
            item = WebImage(_online(text, self.offline))
            return item, item.names()
        if is_remote(text) or (isinstance(table, str) and not os.path.isabs(text)):
            url = text if is_url(text) else f"{folder}/{text}"
            return RemoteImage(usable(url, self.offline)), url_names(url, 1 if is_url(text) else text.count("/") + 1)
        path, root = Path(folder, os.path.expanduser(_local(text))), Path(folder)
        return InputFile(str(path), ""), below(path, root if root in path.parents else path.parent)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _inside(images: Iterable[tuple[Any, str]], holder: Iterator[str]) -> Iterator[Named]:
    """Images and their names in what holds them, which are short as long as they differ from others."""
    longer = list(holder)
    for image, inside in images:
        joined = map(_joined(inside), longer)
        unique = [f"{longer[-1]}/{image.place.rpartition('/')[2]}"] if isinstance(image, StoredImage) else []
        yield image, chain((os.path.splitext(inside)[0], inside), joined, unique)


def _joined(inside: str) -> Callable[[str], str]:
    return lambda name: f"{name}/{inside}"
