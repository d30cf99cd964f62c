"""Paths of images as the files of an index name them: relative to the index, so that both can be moved together.

An absolute path of an image below the folder that holds the index, or below the current folder where the index lies
there too, becomes one that begins with ``./`` or ``../``: ``../photos/a.jpg``. Images elsewhere keep their absolute
paths. Addresses such as ``https://…`` and names that are no paths stay as they are. In memory paths are absolute again.
"""

import os
from functools import lru_cache
from pathlib import Path

__all__ = ["opened_path", "stored_path"]

RELATIVE = ("./", "../")
"""The beginnings of a path that is relative to the index."""


def stored_path(path: str, folder: Path) -> str:
    """The path of an image as an index in a folder names it.

    Args:
        path: absolute, an address, or another name.
        folder: of the file of the index.
    """
    if "://" in path or not (os.path.isabs(path) or path.startswith(RELATIVE)):
        return path
    head, tail = os.path.split(path)
    if tail in ("", ".", ".."):
        return _stored(path, os.fspath(folder))
    return f"{_stored_folder(head, os.fspath(folder), os.getcwd())}/{tail}"


@lru_cache(maxsize=1024)
def _stored_folder(head: str, folder: str, current: str) -> str:
    """What stands before the names of the images of a folder, where this one is the current folder."""
    return _stored(os.path.join(head, "x"), folder).removesuffix("/x")


def _stored(path: str, folder: str) -> str:
    place, here = os.path.abspath(path), os.path.abspath(folder)
    roots = [os.path.dirname(here), *([os.getcwd()] if _below(here, os.getcwd()) else [])]
    if not any(_below(place, root) for root in roots):
        return place
    relative = Path(os.path.relpath(place, here)).as_posix()
    return relative if relative.startswith(RELATIVE) else f"./{relative}"


def opened_path(name: str, folder: Path) -> str:
    """The path of an image from what :func:`stored_path` made of it; absolute where it was."""
    return os.path.normpath(os.path.join(os.path.abspath(folder), name)) if name.startswith(RELATIVE) else name


def _below(place: str, root: str) -> bool:
    """True where a path lies below a folder that is not the root of a disk."""
    return Path(root) in Path(place).parents and os.path.dirname(root) != root
