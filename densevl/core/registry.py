"""Registries: names of configs and what they stand for.

A registry is MMEngine's, with *rows*: data that say where a member lives, so that declaring it imports nothing. A row
is ``"module:object"``, or ``("module:object", settings)`` for a member that differs from another in settings alone.
Each family declares its rows in its ``__init__``; a package of yours adds members with ``@REGISTRY.register_module()``
or with ``REGISTRY.add({"name": "my_package.module:Class"})``; see :mod:`densevl.core.plugins`. Names are kebab-case.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import BuiltinFunctionType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from mmengine.registry import Registry as MMEngineRegistry
from torch import Tensor

from densevl.core.errors import UsageError, shortened, suggestion
from densevl.core.plugins import load_plugins

__all__ = ["Registry", "build"]

Row = str | tuple[str, Mapping[str, Any]]

SIMPLE: tuple[type, ...] = (bool, int, float, str, type(None))
"""Types of settings that are checked before a member is built: users type them on the command line."""

SEQUENCES = (bytes, list, tuple, set, frozenset, range, np.ndarray, Tensor)
PLAIN = (bool, int, float, complex, Path, BuiltinFunctionType, *SEQUENCES)
"""Types of values that are no member of any family."""


class Registry(MMEngineRegistry):
    """A registry whose members are imported when they are first used.

    Args:
        name: what errors call a member, such as ``"readout"``.
        rows: where members live, by name.
    """

    def __init__(self, name: str, rows: Mapping[str, Row]) -> None:
        super().__init__(name, scope="densevl")
        self.rows: dict[str, Row] = dict(rows)

    @property
    def names(self) -> list[str]:
        """Names of all members, those of plug-ins included."""
        load_plugins()
        return sorted({*self.rows, *self.module_dict})

    def add(self, rows: Mapping[str, Row]) -> None:
        """Declare further members; nothing is imported."""
        self.rows.update(rows)

    def name_of(self, member: Any) -> str | None:
        """The name whose row, without settings, leads to the type of a built member; None where there is none."""
        made = type(member)
        place = f"{made.__module__}:{made.__qualname__}"
        found = (name for name, row in self.rows.items() if row == place)
        return next(found, next((name for name, one in self.module_dict.items() if one is made), None))

    def get(self, key: str) -> Any:
        """The member of a name, imported where it has not been yet; None where there is none."""
        if key not in self.module_dict and key not in self.rows:
            load_plugins()
        found = self.module_dict.get(key)
        if found is None and key in self.rows:
            row = self.rows[key]
            place, settings = (row, {}) if isinstance(row, str) else row
            module, _, member = place.partition(":")
            found = getattr(import_module(module), member)
            found = partial(found, **settings) if settings else found
            self.module_dict[key] = found
        return found


def build(registry: Registry, config: Any) -> Any:
    """Build a member of a registry.

    Args:
        registry: where its name is looked up.
        config: a registered name, a config with its name as ``type``, or a built member, which is returned as it is.

    Raises:
        UsageError: where the name is unknown, or the config has arguments that the member does not take.
    """
    if isinstance(config, str):
        config = {"type": config}
    if isinstance(config, PLAIN):
        raise UsageError(
            f"{registry.name}: expected a name, a config with a type, or a built one; got {shortened(repr(config))}"
        )
    if not isinstance(config, Mapping):
        return config
    if not all(isinstance(name, str) for name in config):
        raise UsageError(f"{registry.name}: settings have names; got {shortened(repr(config))}")
    settings = dict(config)
    kind = settings.pop("type", None)
    member = registry.get(kind) if isinstance(kind, str) else kind
    if not callable(member):
        raise UsageError(f"{registry.name} {kind!r} is unknown; {suggestion(str(kind), registry.names)}")
    _check_types(registry.name, str(kind), member, settings)
    try:
        return member(**settings)
    except TypeError as error:
        raise UsageError(f"{registry.name} {kind!r} cannot be built: {error}") from error


def _check_types(family: str, kind: str, member: Any, settings: Mapping[str, Any]) -> None:
    """Refuse numbers, texts and truth values of another type than a member declares.

    Raises:
        UsageError: where a setting is of another type.
    """
    made = member.func if isinstance(member, partial) else member
    try:
        hints = get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except (NameError, TypeError, AttributeError):  # annotations of a plug-in that cannot be resolved
        return
    for name, value in settings.items():
        hint = hints.get(name)
        allowed = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)
        if hint is None or not set(allowed) <= set(SIMPLE) or type(value) in allowed:
            continue
        if type(value) is int and float in allowed:
            continue
        names = " or ".join("null" if one is type(None) else one.__name__ for one in allowed)
        raise UsageError(f"{family} {kind!r}: {name} must be {names}; got {shortened(repr(value))}")
