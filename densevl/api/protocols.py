"""The protocols of publications by name: settings of a segmentor for each data set, from ``data/protocols.json``.

A protocol is what two heads must share before their figures can be compared: templates, sizes, windows, the factor of
cosines, what is averaged, the background, and the words that are asked. It is no head: readout and refiners are those
of the model that is measured. A row of ``data/models.json`` may name one, so that its settings stand once.

A row may extend another: mappings are merged, everything else is replaced. Plug-ins add rows by a file of their own.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.core.plugins import plugin_rows
from densevl.weights.table import DATA

__all__ = ["COMMON", "Protocol", "merged", "protocol", "protocol_names"]

COMMON = "*"
"""The row that others extend, which is no protocol itself."""


BESIDES = ("queries", "head", "unknown")
"""What a data set says that is no setting of a segmentor."""


@dataclass(frozen=True)
class Protocol:
    """The protocol of a publication.

    Attributes:
        name: what users call it.
        title: the method whose it is.
        paper: where it is published.
        reference: repository and commit that the values are taken from.
        encoders: names of the weights that it is published with, the usual one first; none where the head decides.
        settings: of a segmentor, on any data set.
        sets: what differs on a data set, by the name of its vocabulary: settings of a segmentor, and besides
            ``"queries"``, the vocabulary whose words are asked for the classes, ``"head"``, changes of the head that
            the protocol belongs to, by dotted paths, and ``"unknown"``, as below.
        unknown: what of the publication is not known here, or cannot be done, a sentence each.
    """

    name: str
    title: str
    paper: str
    reference: str = ""
    encoders: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def of_set(self, data: str) -> dict[str, Any]:
        """The settings of a segmentor on a data set; those of any data set where the publication does not have it."""
        own = {name: value for name, value in self.sets.get(data, {}).items() if name not in BESIDES}
        return deepcopy({**self.settings, **own})

    def queries(self, data: str) -> str | None:
        """The vocabulary whose words are asked for the classes of a data set; None for that of the data set itself."""
        found: str | None = self.sets.get(data, {}).get("queries")
        return found

    def head(self, data: str) -> dict[str, Any]:
        """Changes of the protocol's own head on a data set, by dotted paths."""
        return deepcopy(self.sets.get(data, {}).get("head", {}))

    def doubts(self, data: str) -> list[str]:
        """What is not known of the publication on a data set, or cannot be done, a sentence each."""
        return [*self.unknown, *self.sets.get(data, {}).get("unknown", ())]

    @property
    def segmentor(self) -> dict[str, Any]:
        """The config of a segmentor without its head: the usual weights and the settings of any data set."""
        encoder = {"encoder": {"type": "clip", "weights": self.encoders[0]}} if self.encoders else {}
        return {**encoder, **deepcopy(self.settings)}


def protocol_names() -> tuple[str, ...]:
    """Names of all protocols."""
    return tuple(_table())


def protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UsageError: where there is none.
    """
    if name not in _table():
        raise UsageError(f"protocol {name!r} is unknown; {suggestion(str(name), _table())}")
    return _table()[name]


@cache
def _table() -> dict[str, Protocol]:
    own = json.loads((DATA / "protocols.json").read_text(encoding="utf-8"))
    added = plugin_rows("protocols.json", own)
    rows = own | {name: row for name, (_, row) in added.items()}
    table = {name: _protocol(rows, name) for name in own if name != COMMON}
    for name, (plugin, _) in added.items():
        try:
            table[name] = _protocol(rows, name)
        except (KeyError, TypeError, RecursionError) as error:
            what = f"extends {error}, which is no protocol" if isinstance(error, KeyError) else error
            raise UsageError(f"protocols.json of the plug-in {plugin.module}: row {name!r} is none: {what}") from error
    return table


def _protocol(rows: Mapping[str, Any], name: str) -> Protocol:
    row = _extended(rows, name)
    lists: dict[str, Any] = {key: tuple(row[key]) for key in ("encoders", "unknown") if key in row}
    return Protocol(name, **{**row, **lists})


def _extended(rows: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row with what it takes from the row that it extends."""
    row = dict(rows[name])
    base = row.pop("extends", None)
    return row if base is None else merged(_extended(rows, base), row)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes: mappings are merged unless their types differ, everything else is replaced."""
    both = {key: merged(base[key], value) for key, value in changes.items() if _of_a_kind(base.get(key), value)}
    return {**deepcopy(dict(base)), **deepcopy(dict(changes)), **both}


def _of_a_kind(base: Any, value: Any) -> bool:
    """Both are mappings, and they do not name different types."""
    mappings = isinstance(base, Mapping) and isinstance(value, Mapping)
    return mappings and len({base.get("type"), value.get("type")} - {None}) < 2
