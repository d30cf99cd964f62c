"""The images of a part that was opened, in arrays: a hundred bytes an image, which becomes an object when asked for."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from densevl.tasks.search.image_paths import RELATIVE, opened_path
from densevl.tasks.search.part import IndexedImage

__all__ = ["ImageTable"]


class ImageTable(Sequence[IndexedImage]):
    """The images of a part.

    Args:
        rows: path, height, width and the numbers of the state of each image, as the file has them.
        folder: of the file, which paths are relative to.

    Attributes:
        sizes: (height, width) of each.

    Raises:
        ValueError, TypeError, OverflowError: where a row is something else.
    """

    def __init__(self, rows: Iterable[Sequence[Any]], folder: Path) -> None:
        rows = list(rows)
        paths = [path.encode("utf-8", "surrogatepass") for path in _opened([str(row[0]) for row in rows], folder)]
        self._paths, self._path_ends = b"".join(paths), _ends(map(len, paths), len(rows))
        self.sizes = np.array([row[1:3] for row in rows], np.int32).reshape(-1, 2)
        self._states = np.array([int(value) for row in rows for value in row[3:]], np.int64)
        self._state_ends = _ends((len(row) - 3 for row in rows), len(rows))

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, row: int) -> IndexedImage: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[IndexedImage]: ...

    def __getitem__(self, row: int | slice) -> IndexedImage | Sequence[IndexedImage]:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        height, width = self.sizes[row].tolist()
        state = self._states[self._state_ends[row] : self._state_ends[row + 1]].tolist()
        return IndexedImage(self._path(row), (height, width), tuple(state))

    def paths(self) -> Iterator[str]:
        """The paths of the images."""
        return map(self._path, range(len(self)))

    def _path(self, row: int) -> str:
        return self._paths[self._path_ends[row] : self._path_ends[row + 1]].decode("utf-8", "surrogatepass")


def _ends(lengths: Iterable[int], count: int) -> np.ndarray:
    """Where each of so many texts of these lengths begins, and where the last one ends."""
    return np.concatenate([[0], np.fromiter(lengths, np.int64, count).cumsum()]).astype(np.int64)


def _opened(names: Sequence[str], folder: Path) -> Iterator[str]:
    """What :func:`opened_path` makes of each name; a folder is looked at once."""
    folders: dict[str, str] = {}
    for name in names:
        head, slash, tail = name.rpartition("/")
        if not name.startswith(RELATIVE) or tail in ("", ".", ".."):
            yield opened_path(name, folder)
            continue
        if head not in folders:
            folders[head] = opened_path(head + slash, folder)
        yield os.path.join(folders[head], tail)
