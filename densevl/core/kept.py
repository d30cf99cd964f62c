"""The folder of what densevl keeps between runs."""

import os
import sys
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """The folder of everything that densevl keeps between runs: ``DENSEVL_CACHE``, else that of the platform."""
    chosen = os.environ.get("DENSEVL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(home or Path.home() / ".cache") / "densevl"
