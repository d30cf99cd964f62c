"""What arguments name: images in files, folders, globs, lists, archives, videos and on the web."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from glob import has_magic, iglob
from itertools import chain
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import (
    InputFile,
    below,
    distinct_names,
    expand_argument,
    file_state,
    natural_order,
    nothing_found,
)
from densevl.core.inputs.archives import Archive, is_archive
from densevl.core.inputs.contracts import BrokenInput, Input
from densevl.core.inputs.lists import STANDARD_INPUT, read_list
from densevl.core.inputs.standard_input import StandardInput
from densevl.core.inputs.urls import WebImage, is_url
from densevl.core.inputs.videos import Video, is_video

__all__ = ["find_inputs", "open_input"]

Named = tuple[Any, Iterator[str]]
"""An input, a dataclass without its name yet, and ever longer names of its results."""


def find_inputs(
    arguments: Sequence[str | os.PathLike[str]],
    exclude: str | os.PathLike[str] | None = None,
    every: int = 1,
    offline: bool = False,
) -> list[Input]:
    """The images that arguments name, in their order; an image that several name comes once.

    An argument is

    * what :func:`densevl.core.files.expand_inputs` takes: a file, a folder, a glob;
    * ``@list.txt``, a list of arguments (no globs or further lists), and ``-``, such a list on standard input;
    * ``https://…`` or ``http://…``, an image on the web;
    * an archive (``.tar``, ``.tar.gz`` and so on) or a video (``.mp4`` and so on), or a glob that ends so.

    What is named in a list and is not there, an archive that is damaged and a video that is cut short come as inputs
    that cannot be read, so that they stop nothing.

    Args:
        arguments: as above.
        exclude: folder whose files do not count unless they are named themselves: that of the results.
        every: step between the frames of a video that are taken.
        offline: refuse URLs.

    Raises:
        UsageError: where an argument leads to no image, a folder or a list cannot be read, a URL is named offline, or
            what reads videos is not installed.
    """
    finder = _Finder(exclude, every, offline)
    found: dict[str, Named] = {}
    missing = []
    for argument in [os.fspath(argument) for argument in arguments]:
        named = list(finder.argument(argument))
        if not named:
            missing.append(nothing_found(argument))
        for item, names in named:
            found.setdefault(item.place, (item, names))
    if missing:
        raise UsageError("; ".join(missing) + _texts_apart(arguments, bool(found)))
    relatives = distinct_names([names for _, names in found.values()])
    return [replace(item, relative=relative) for (item, _), relative in zip(found.values(), relatives, strict=True)]


def open_input(place: str | os.PathLike[str], offline: bool = False) -> Input:
    """The image at a place, such as that of an input that was found before; one that is not there fails when read.

    Args:
        place: a file, a URL, ``-`` for an image on standard input, or an archive or a video with the name of an image
            in it, as if it were a folder: ``photos.tar/day1/cat.jpg``, ``clip.mp4/000123``.
        offline: refuse URLs.

    Raises:
        UsageError: where it is a URL and ``offline`` is set, or what reads videos is not installed.
    """
    text = os.fspath(place)
    if text == STANDARD_INPUT:
        return StandardInput()
    if is_url(text):
        item: Any = WebImage(_online(text, offline))
        return replace(item, relative=next(item.names()))
    path = Path(text)
    holder = next((folder for folder in path.parents if folder.is_file()), None)
    if holder is None or not (is_archive(holder) or is_video(holder)):
        return InputFile(text, path.stem)
    inside = path.relative_to(holder).as_posix()
    for item, name in _images(holder, file_state(holder)):
        if name == inside:
            return replace(item, relative=path.stem)  # type: ignore[no-any-return]
    return BrokenInput(text, text, f"{text}: {holder.name} has no image {inside!r}", path.stem)


@lru_cache(maxsize=4)
def _images(holder: Path, state: tuple[int, ...]) -> Sequence[tuple[Any, str]]:
    """The images of an archive or a video in some state, which are listed once for all of them."""
    return Archive(holder).images() if is_archive(holder) else Video(holder).frames()


def _online(url: str, offline: bool) -> str:
    if offline:
        raise UsageError(f"{url} is on the network, which must not be used offline; fetch it and name the file")
    path = re.split(r"[?#]", url)[0]
    if is_archive(path) or is_video(path):
        raise UsageError(f"{url} is no image; fetch it and name the file: only images are read from the web")
    return url


def _texts_apart(arguments: Sequence[str | os.PathLike[str]], found: bool) -> str:
    """The cure where somebody wrote texts one by one behind an image."""
    behind = [os.fspath(argument) for argument in arguments[1:]]
    words = [one for one in behind if not (os.path.lexists(one) or os.path.splitext(one)[1] or os.sep in one)]
    return f'; texts go together in one argument, as in "{words[0]}, …"' if found and words else ""


class _Finder:
    """What arguments name, with the settings of one call."""

    def __init__(self, exclude: str | os.PathLike[str] | None, every: int, offline: bool) -> None:
        self.exclude, self.every, self.offline = exclude, every, offline

    def argument(self, argument: str) -> Iterator[Named]:
        """The images that an argument names."""
        if argument == STANDARD_INPUT or (argument.startswith("@") and not os.path.lexists(argument)):
            yield from self._list(argument)
        elif is_url(argument):
            yield from self._url(argument)
        elif has_magic(argument) and not os.path.lexists(argument) and (is_archive(argument) or is_video(argument)):
            for path in sorted(map(Path, iglob(os.path.expanduser(argument), recursive=True)), key=natural_order):
                yield from self._file(path, path.parent)
        else:
            root, files = expand_argument(argument, self.exclude)
            for file in files:
                yield from self._file(file, root)

    def _list(self, argument: str) -> Iterator[Named]:
        folder, entries = read_list(argument)
        for where, entry in entries:
            if is_url(entry):
                yield from self._url(entry)
                continue
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

    def _url(self, url: str) -> Iterator[Named]:
        item = WebImage(_online(url, self.offline))
        yield item, item.names()

    def _file(self, path: str | Path, root: Path) -> Iterator[Named]:
        if is_archive(path):
            for image, inside in Archive(Path(path)).images():
                yield image, chain((os.path.splitext(inside)[0], inside), map(_joined(inside), below(path, root)))
        elif is_video(path):
            for frame, inside in Video(Path(path)).frames(self.every):
                yield frame, map(_joined(inside), below(path, root))
        else:
            yield InputFile(path, ""), below(path, root)


def _joined(inside: str) -> Callable[[str], str]:
    return lambda name: f"{name}/{inside}"
