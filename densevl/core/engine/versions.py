"""The versions that all machines of a run must share, so that its results do not hang on where they are made."""

import platform
from importlib.metadata import version

from densevl.core.errors import UsageError

__all__ = ["check_versions", "own_versions"]


def own_versions() -> dict[str, str]:
    """The versions of this process."""
    return {"Python": ".".join(platform.python_version_tuple()[:2]), "densevl": version("densevl")}


def check_versions(wanted: dict[str, str]) -> None:
    """Make sure that this process gives the results of the one that started the run.

    Raises:
        UsageError: where versions differ.
    """
    own = own_versions()
    differing = [f"{name} {own[name]} in place of {wanted[name]}" for name in wanted if own[name] != wanted[name]]
    if differing:
        raise UsageError(f"the worker on {platform.node()} has {', '.join(differing)}; install the same everywhere")
