"""Running lenses: all data first, then one after the other, then their report.

It writes ``index.html``, a page for any browser, the pictures of the lenses below ``page/``, and ``check.json``, which
holds every figure of the page, written last.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from densevl.benchmarks.lenses import LENSES
from densevl.benchmarks.lenses.contracts import Finding, Lens
from densevl.benchmarks.lenses.page import write_page
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.errors import UsageError
from densevl.core.files import atomic_write
from densevl.core.registry import build

__all__ = ["Examined", "build_lenses", "examine", "own_settings", "strangeness"]

SHOWN = 20
"""Images that are looked at to say whether a model knows such images."""


def own_settings(names: Iterable[str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some changes that are settings of lenses, ``NAME.SETTING``.

    Args:
        names: of the lenses.
        changes: values by path.
    """
    known = {*names, *LENSES.names}
    return {path: value for path, value in changes.items() if path.partition(".")[0] in known}


def build_lenses(names: Iterable[str], settings: Mapping[str, Any] | None = None) -> list[Lens]:
    """The lenses of names.

    Args:
        names: as they are registered.
        settings: values by ``NAME.SETTING``, each of one of these lenses.

    Raises:
        UsageError: where a name is unknown or given twice, or a setting cannot be used.
    """
    given, made = dict(settings or {}), dict[str, Lens]()
    for name in names:
        if name in made:
            raise UsageError(f"the lens {name!r} is given twice; name it once")
        own = {path.partition(".")[2]: given.pop(path) for path in list(given) if path.startswith(f"{name}.")}
        made[name] = build(LENSES, {**own, "type": name})
        if not isinstance(made[name], Lens):
            raise UsageError(f"{name!r} is no lens: it needs name, title, gather and examine, see {Lens.__module__}")
    if given:
        raise UsageError(f"{next(iter(given))} is a setting of none of the lenses {', '.join(made)}")
    return list(made.values())


class Examined(NamedTuple):
    """What lenses found.

    Attributes:
        findings: by the name of the lens.
        note: see :func:`strangeness`.
    """

    findings: Mapping[str, Finding]
    note: str | None


def examine(subject: Subject, lenses: Iterable[Lens], source: Source, report: Path) -> Examined:
    """Ask what the lenses ask, and write the report.

    Args:
        subject: who is asked.
        lenses: that ask.
        source: of their data.
        report: the folder.

    Raises:
        OutputError: where the report cannot be written.
        UsageError: where the data or the model lack what a lens needs; nothing is written then.
    """
    gathered = [(lens, lens.gather(subject, source)) for lens in lenses]
    with atomic_write(report / "check.json") as temporary:
        temporary.touch()  # a folder that cannot be written is said before anything slow
        found = {lens.name: lens.examine(subject, data) for lens, data in gathered}
        strange = strangeness(subject, source)
        note = f"{subject.name}, asked about {source}" + (f". {strange}" if strange else "")
        values = {
            "format": "densevl lenses 1",
            "model": subject.model.name,
            "classes": None if subject.classes is None else subject.classes.digest,
            "data": str(source),
            "note": strange,
            "lenses": {name: dict(one.values) for name, one in found.items()},
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        write_page(report, subject.name, note, {lens.name: (lens.title, found[lens.name]) for lens, _ in gathered})
        temporary.write_text(text + "\n", encoding="utf-8")
    return Examined(found, strange)


def strangeness(subject: Subject, source: Source) -> str | None:
    """A sentence where the model knows nothing like the images of a file; None where it does, or nobody can say.

    Args:
        subject: who is asked.
        source: of the images; scenes that are drawn are what the mini models know.
    """
    known, images = subject.model.known, source.some_images(SHOWN)
    if known is None or not images:
        return None
    strange = sum(value <= known.level for value in subject.model.familiarity(images))
    if 2 * strange <= len(images):
        return None
    return (
        f"{strange} of {len(images)} images look like nothing that model {subject.model.name!r} knows "
        f"({known.what}): these figures mean nothing"
    )
