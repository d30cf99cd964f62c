"""Where the files of weights lie on this machine.

Each file lies at ``<cache>/weights/<name>/<file>`` under its name on the hub. A file that was put there by hand is as
good as a fetched one. A copy that other programs left in the hub's own cache is used where it lies.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from densevl.core.kept import cache_dir
from densevl.weights.table import WeightsEntry

__all__ = ["cache_dir", "in_hub_cache", "installed_file", "is_cached", "is_offline", "location"]

YES = {"1", "true", "yes", "on"}


def location(entry: WeightsEntry, cache: str | Path | None = None) -> Path:
    """The path at which the file of an entry belongs. Nothing need be there."""
    if entry.distribution:
        return installed_file(entry.file)
    if entry.packaged:
        return entry.folder / entry.file
    return (Path(cache).expanduser() if cache else cache_dir()) / "weights" / entry.name / entry.file


def is_cached(entry: WeightsEntry, cache: str | Path | None = None) -> bool:
    """True where all files of these weights are on this machine. Their content is not checked."""
    if all(location(file, cache).is_file() for file in entry.files):
        return True
    return all(in_hub_cache(file) is not None for file in entry.files)


def is_offline(offline: bool = False) -> bool:
    """True where the caller or the environment forbids the network."""
    return offline or any(os.environ.get(name, "").lower() in YES for name in ("DENSEVL_OFFLINE", "HF_HUB_OFFLINE"))


def in_hub_cache(entry: WeightsEntry) -> Path | None:
    """The copy of a file in the hub's own cache, not checked; None where there is none."""
    if entry.repository is None:
        return None
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(entry.repository, entry.file, constants.HF_HUB_CACHE, entry.revision)
    return Path(found) if isinstance(found, str) else None


def installed_file(file: str) -> Path:
    """The path of a file of another package, which is not imported.

    Args:
        file: behind the name of the package, such as ``open_clip/bpe_simple_vocab_16e6.txt.gz``.
    """
    package, _, rest = file.partition("/")
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or [package]
    return Path(folders[0]) / rest
