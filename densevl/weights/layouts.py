"""Layouts: the names that a published file gives its tensors, translated to those of our models and back.

A layout is a row of ``data/layouts.json``, which may extend another: of lists that both have, its own come first.
Reading takes optional prefixes off, leaves out what is not the model, translates names by templates, changes tensors
by the steps of :mod:`densevl.weights.fusions`, and takes what the file does not hold from the file that it was made
from. Nothing of a file is left over silently: a name that no rule knows stays as it is, and is an error when the model
does not have it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, suggestion
from densevl.core.plugins import plugin_rows
from densevl.weights.fusions import fusion
from densevl.weights.names import Template
from densevl.weights.table import DATA, Triple

__all__ = ["Layout", "find_layout", "layout", "layouts"]

OWN = "open_clip"
"""The layout of files that need no translation."""

EXTENDED = ("rename", "fuse")
"""Lists that a row has before those of the row that it extends."""


@dataclass(frozen=True)
class Layout:
    """A published layout of the names in a file.

    Attributes:
        name: what weights tables and users call it.
        source: the code or the page that the names come from.
        signs: templates of names, each of which a file of this layout has; one without any is taken by name alone.
        without: templates of names that a file of this layout never has.
        strip: prefixes that may stand before any name, one after the other; they are not written.
        keep: templates of names, which alone are the model; empty for all.
        drop: templates of names that are no part of the model.
        rename: pairs of templates, published and ours; of a name, the first that fits.
        fuse: rows of steps, see :data:`densevl.weights.fusions.FUSIONS`, in the order of reading.
        base: templates of our names that come from the file that this one was made from; where the name is another
            there, a pair of templates, its name and ours.
        apart: whether that file has no tensor that this one has, too, since the two are parts of one model.
        quick_gelu: the activation that all files of this layout are made for; None where they differ.
        mean: what is subtracted from RGB in [0, 1] for all files of this layout; None where they differ.
        std: what the result is divided by; None where they differ.
        resize: how all models of this layout take whole images, ``"crop"`` or ``"squash"``; None where they differ.
        variant: True for another reading of files that a layout recognises, done only where it is asked for by name.
        archs: architectures that files of this layout have, for messages.
        note: what else to know.
    """

    name: str
    source: str = ""
    signs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    fuse: tuple[Mapping[str, Any], ...] = ()
    base: tuple[str | tuple[str, str], ...] = ()
    apart: bool = False
    quick_gelu: bool | None = None
    mean: Triple | None = None
    std: Triple | None = None
    resize: str | None = None
    variant: bool = False
    archs: tuple[str, ...] = ()
    note: str = ""

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """True where the names are those of a file of this layout."""
        if self.variant:
            return False
        names = [self._stripped(name) for name in state]
        return (
            bool(self.signs)
            and all(_any(sign, names) for sign in self.signs)
            and not any(_any(sign, names) for sign in self.without)
        )

    def read(self, state: Mapping[str, Tensor], base: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The tensors of a file by the names of our model.

        Args:
            state: as the file holds them.
            base: of the file that this one was made from, by our names; needed where the layout has only a part.

        Raises:
            WeightsError: where a base is needed and not given, or two tensors of the file are one of ours.
        """
        if self.base and base is None:
            raise WeightsError(
                f"a file of the layout {self.name} holds a part of a model; name the weights of the model that it was "
                f"made from, as base=NAME or FILE{self.note and f' ({self.note})'}"
            )
        found: dict[str, Tensor] = {}
        for published, tensor in state.items():
            name = self._stripped(published)
            if _matches(self.drop, name) or (self.keep and not _matches(self.keep, name)):
                continue
            ours = _translated(name, self.rename)
            if ours in found:
                raise WeightsError(f"the file holds {ours} twice, as {published} and under another name")
            found[ours] = tensor
        for row in self.fuse:
            fusion(row).read(found)
        return self.from_base(base or {}) | found

    def from_base(self, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a file of this layout lacks and takes from another one.

        Args:
            base: tensors of the other file, by our names.
        """
        wanted = {name for name in base if any(Template(theirs).matches(name) for theirs, _ in self._from_base)}
        return {_translated(name, self._from_base): base[name] for name in wanted}

    def write(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of our model by the names of this layout, without what it leaves to its base."""
        found = {
            name: tensor
            for name, tensor in state.items()
            if not any(Template(ours).matches(name) for _, ours in self._from_base)
        }
        for row in reversed(self.fuse):
            fusion(row).write(found)
        back = [(ours, published) for published, ours in self.rename]
        return {_translated(name, back): tensor for name, tensor in found.items()}

    @property
    def _from_base(self) -> list[tuple[str, str]]:
        """Pairs of templates: the names of the base, and ours."""
        return [(pair, pair) if isinstance(pair, str) else pair for pair in self.base]

    def _stripped(self, name: str) -> str:
        for prefix in self.strip:
            name = name.removeprefix(prefix)
        return name


@cache
def layouts() -> dict[str, Layout]:
    """All layouts by name, those of plug-ins last.

    Raises:
        UsageError: where a row of a plug-in is none.
    """
    own = json.loads((DATA / "layouts.json").read_text(encoding="utf-8"))["layouts"]
    table = {name: _row(name, fields, own) for name, fields in own.items()}
    for name, (plugin, fields) in plugin_rows("layouts.json", own, within="layouts").items():
        try:
            table[name] = _row(name, fields, own)
        except (TypeError, KeyError, RecursionError) as error:
            raise UsageError(f"layouts.json of the plug-in {plugin.module}: row {name!r} is none: {error}") from error
    return table


def layout(name: str) -> Layout:
    """The layout of a name.

    Raises:
        UsageError: where there is none.
    """
    if name == OWN:
        return Layout(OWN)
    if name not in layouts():
        raise UsageError(f"layout {name!r} is unknown; {suggestion(name, [OWN, *layouts()])}")
    return layouts()[name]


def find_layout(state: Mapping[str, Tensor]) -> Layout:
    """The layout whose signs a file shows, the one with most of them; open_clip's where no other fits."""
    fitting = [one for one in layouts().values() if one.fits(state)]
    return max(fitting, key=lambda one: len(one.signs) + len(one.without), default=Layout(OWN))


def _row(name: str, fields: Mapping[str, Any], rows: Mapping[str, Any]) -> Layout:
    values: dict[str, Any] = {
        key: tuple(map(_fixed, value)) if isinstance(value, list) else value
        for key, value in _extended(fields, rows).items()
    }
    return Layout(name, **values)


def _extended(fields: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, Any]:
    """A row with what it takes from the row that it extends."""
    own = {key: value for key, value in fields.items() if key != "extends"}
    if "extends" not in fields:
        return own
    base = _extended(rows[fields["extends"]], rows)
    return base | own | {key: own[key] + base[key] for key in EXTENDED if key in own and key in base}


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _any(template: str, names: list[str]) -> bool:
    sign = Template(template)
    return any(sign.matches(name) for name in names)


def _matches(templates: tuple[str, ...], name: str) -> bool:
    return any(Template(text).matches(name) for text in templates)


def _translated(name: str, rules: Any) -> str:
    for source, target in rules:
        holes = Template(source).read(name)
        if holes is not None:
            return Template(target).fill(holes)
    return name
