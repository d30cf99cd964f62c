"""The error where weights are not here: every file, where to fetch it, how to check it, where to put it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densevl.core.errors import WeightsError
from densevl.weights.places import location
from densevl.weights.table import WeightsEntry

__all__ = ["MissingWeights", "how_to_check", "size_text"]


class MissingWeights(WeightsError):
    """Weights that are not on this machine and cannot be fetched from here.

    Args:
        entries: the weights.
        why: they cannot be fetched, in words that follow "and".
        name: of the model that needs them, or of them, for `densevl fetch`.
        cache: folder in the place of densevl's cache.
    """

    def __init__(
        self, entries: Sequence[WeightsEntry], why: str, name: str | None = None, cache: str | Path | None = None
    ) -> None:
        self.entries, self.why, self.name, self.cache = tuple(entries), why, name, cache
        name = name or " ".join(entry.name for entry in entries)
        files = [file for entry in entries for file in entry.files]
        names = ", ".join(repr(entry.name) for entry in entries)
        count = f"{len(files)} files, " if len(files) > 1 else ""
        total = sum(file.bytes for file in files)
        about = "" if all(file.size for file in files) else "about "
        text = (
            f"weights {names} are not on this machine, and {why}.\n"
            f"On a machine with a network ({count}{about}{total / 1e6:.0f} MB), `densevl fetch {name} --to FOLDER` "
            "fetches all;\nthen bring FOLDER here and set DENSEVL_CACHE=FOLDER. Or by hand:\n"
            + "".join(_instructions(file, location(file, cache)) for file in files)
            + "Without any weights: --model mini, which knows drawn scenes alone.\n"
            'With files of your own: --weights FILE, in Python weights="FILE"'
        )
        super().__init__(text)
        self.args = (text,)  # other errors are of one line; a list of files stays a list

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies that travel between processes are made of the same arguments."""
        return type(self), (self.entries, self.why, self.name, self.cache)


def size_text(entry: WeightsEntry) -> str:
    """The exact size of a file, or about how large it is where that is not known."""
    if entry.size:
        return f"{entry.size} bytes"
    return f"about {entry.bytes / 1e6:.0f} MB, the exact size is not known" if entry.bytes else "size not known"


def how_to_check(entry: WeightsEntry) -> str:
    """The command that checks a file and what it must print, or that nobody published a hash."""
    if entry.sha256:
        return f"sha256sum must print {entry.sha256}"
    if entry.git_blob:
        return f"git hash-object must print {entry.git_blob}"
    if entry.repository:
        return f"its sha256 must be the one at {entry.page}"
    return "no sha256 of it has been published: take it from there alone"


def _instructions(entry: WeightsEntry, target: Path) -> str:
    origin = f"{entry.repository}, revision {entry.revision}, file {entry.file}" if entry.repository else entry.file
    return (
        f"  fetch   {entry.address}\n"
        f"          ({origin}; {size_text(entry)}; licence {entry.licence})\n"
        f"  put at  {target}\n"
        f"  check   {how_to_check(entry)}\n"
    )
