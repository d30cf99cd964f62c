"""Bringing the weights of models to this machine, or into a folder that is densevl's cache on another one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from densevl.api.models import needed_weights
from densevl.weights import MissingWeights, TransferError, WeightsEntry, is_cached, location, place
from densevl.weights.licences import licence_text

__all__ = ["fetch_weights"]


def fetch_weights(
    names: Sequence[str], folder: Path | None = None, say: Callable[[str], None] = print
) -> list[WeightsEntry]:
    """Fetch and check all files of all names, each once; where one cannot be had, the others are fetched first.

    Args:
        names: of models, ``HEAD@ENCODER``, or weights.
        folder: in the place of densevl's cache.
        say: takes a line about each licence, before anything is fetched, and about each file.

    Returns:
        The weights that these names need, without those that come with densevl.

    Raises:
        UsageError: where a name is unknown; then nothing is fetched.
        MissingWeights: where files could not be fetched, with what to do by hand.
        WeightsError: where a file is not what it should be.
        OutputError: where one cannot be written.
    """
    every = dict.fromkeys(entry.name for name in names for entry in needed_weights(name))
    wanted = [entry for name in every for entry in needed_weights(name) if not entry.packaged]
    files = [file for entry in wanted for file in entry.files]
    if files:
        say(f"{len(files)} files, {sum(file.bytes for file in files) / 1e6:.0f} MB")
    for entry in wanted:
        if not is_cached(entry, folder):
            say(licence_text(entry))
    reasons: dict[str, str] = {}
    for number, file in enumerate(files, 1):
        label = f"[{number}/{len(files)}] {file.name}, {file.file}, {file.bytes / 1e6:.1f} MB"
        how = "was here" if location(file, folder).is_file() else "copied" if is_cached(file) and folder else "fetched"
        try:
            target = place(file, folder)
        except TransferError as error:
            say(f"{label}: cannot be fetched ({error})")
            reasons[file.name] = str(error)
        else:
            say(f"{label}: {how}, checked: {target}")
    if reasons:
        missing = [entry for entry in wanted if entry.name in reasons]
        raise MissingWeights(
            missing, f"they cannot be fetched ({'; '.join(dict.fromkeys(reasons.values()))})", cache=folder
        )
    return wanted
