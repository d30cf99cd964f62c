"""Plug-ins: modules outside of densevl that add members to registries, and rows to the tables of models and weights.

A plug-in is a module that an installed package names as an entry point of the group ``densevl``, or that
``DENSEVL_PLUGINS`` names (several with commas). Importing it adds its members. Where it is a package or lies in one,
the tables ``models.json`` and ``weights.json`` beside it are read, too, without importing it: they have the layout of
those in ``densevl/data``.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import read_json

__all__ = ["Plugin", "load_plugins", "plugin_rows", "plugins"]


@dataclass(frozen=True)
class Plugin:
    """A module that extends densevl.

    Attributes:
        module: its dotted name.
        source: what names it, for errors.
    """

    module: str
    source: str

    def load(self) -> None:
        """Import it, which adds its members to registries.

        Raises:
            UsageError: where that fails, with the reason.
        """
        try:
            import_module(self.module)
        except Exception as error:  # whatever code of others raises
            reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise UsageError(f"{self.source} names {self.module!r}, which cannot be imported: {reason}") from error

    @property
    def folder(self) -> Path | None:
        """The folder of its package, whose own module is not imported; None for a module that is in no package.

        Raises:
            UsageError: where there is no such module.
        """
        try:
            spec = find_spec(self.module)
        except Exception as error:  # of the package that it is in
            raise UsageError(f"{self.source} names {self.module!r}, which cannot be found: {error}") from error
        if spec is None:
            raise UsageError(
                f"{self.source} names {self.module!r}, which cannot be found; install it, or correct its name"
            )
        packaged = spec.origin is not None and (spec.submodule_search_locations is not None or "." in self.module)
        return Path(spec.origin).parent if packaged and spec.origin else None

    def rows(self, file: str, within: str | None = None) -> dict[str, dict[str, Any]]:
        """The rows of a table in its folder; none where there is no such file.

        Args:
            file: name of the table, such as ``"models.json"``.
            within: key of the rows in the file; None where the file is the rows.

        Raises:
            UsageError: where it cannot be read or has another layout.
        """
        path = None if self.folder is None else self.folder / file
        if path is None or not path.is_file():
            return {}
        rows = read_json(path)
        if within is not None:
            rows = rows.get(within) if isinstance(rows, dict) else None
        if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
            where = "" if within is None else f" under the key {within!r}"
            raise UsageError(f"{path} must hold rows by name{where}: the plug-in {self.module} adds them")
        return rows


@cache
def plugins() -> tuple[Plugin, ...]:
    """All plug-ins, those of installed packages first."""
    installed = [
        Plugin(entry.module, f"the entry point {entry.name!r}" + (f" of {entry.dist.name}" if entry.dist else ""))
        for entry in entry_points(group="densevl")
    ]
    named = filter(None, (name.strip() for name in os.environ.get("DENSEVL_PLUGINS", "").split(",")))
    both = [*installed, *(Plugin(name, "DENSEVL_PLUGINS") for name in named)]
    return tuple({plugin.module: plugin for plugin in both}.values())


@cache
def load_plugins() -> None:
    """Import all plug-ins.

    Raises:
        UsageError: where one cannot be imported.
    """
    for plugin in plugins():
        plugin.load()


def plugin_rows(
    file: str, taken: Collection[str], within: str | None = None
) -> dict[str, tuple[Plugin, dict[str, Any]]]:
    """The rows that plug-ins add to a table of densevl, by name, each with its plug-in.

    Args:
        file: name of the table, such as ``"models.json"``.
        taken: the names that the table of densevl has.
        within: key of the rows in the file; None where the file is the rows.

    Raises:
        UsageError: where a file has another layout, or a name is taken.
    """
    added: dict[str, tuple[Plugin, dict[str, Any]]] = {}
    for plugin in plugins():
        for name, row in plugin.rows(file, within).items():
            if name in taken or name in added:
                owner = "densevl" if name in taken else f"the plug-in {added[name][0].module}"
                raise UsageError(f"{file} of the plug-in {plugin.module} has a row {name!r}, as {owner} has; rename it")
            added[name] = plugin, row
    return added
