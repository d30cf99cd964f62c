"""The manifest of a folder of results, ``job.json``: one folder holds one job, made with the same settings.

A job is told by its command and its fingerprint. The manifest says beside them, in words, what they came of, so that a
user can read it, a run with other settings can be told what differs, and results can be joined without the model.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from densevl.core.errors import OutputError, UsageError, shortened
from densevl.core.files import atomic_write, file_state, locked, parse_json

__all__ = ["MANIFEST", "begin", "check", "compare", "described", "own_version", "read_manifest", "refuse_other"]

MANIFEST = "job.json"

MARKS = {"embed": "part-[0-9]*.*", "label-regions": "labelling.json"}
"""Files by which the folders of commands without a manifest are known."""
CHOICES = ("saved", "instances", "min_area")
"""What may differ between the runs of a job: how its results are written. The manifest has the last choice."""


def described(command: str, fingerprint: str, **settings: Any) -> dict[str, Any]:
    """The content of a manifest.

    Args:
        command: that writes the folder.
        fingerprint: differs where any setting does.
        settings: what it came of, in values that JSON knows.
    """
    return {"densevl": own_version(), "command": command, "fingerprint": fingerprint, **settings}


def own_version() -> str:
    """The version of densevl that writes."""
    try:
        return version("densevl")
    except PackageNotFoundError:
        return "unknown"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none.

    Raises:
        UsageError: where it cannot be read.
    """
    path = folder / MANIFEST
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        _ = found["command"], found["fingerprint"]
        return dict(found)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no manifest of a job ({error}); name another folder, or delete that file"
        ) from None


def refuse_other(out: Path, command: str) -> None:
    """Refuse a folder that holds the results of another command, whose lists would be mixed up.

    Args:
        out: the folder, there or not.
        command: that is to write there.

    Raises:
        UsageError: where another command has written there.
    """
    before = read_manifest(out)
    marked = (other for other, mark in MARKS.items() if any(out.glob(mark)))
    for other in [*([] if before is None else [before["command"]]), *marked]:
        if other != command:
            raise UsageError(f"{out} holds the results of `densevl {other}`; name another folder with --out")


def begin(
    out: Path, now: dict[str, Any], overwrite: bool = False, clear: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """Begin the job of a folder, or go on with it.

    Args:
        out: the folder; made where it is missing.
        now: the manifest of the job.
        overwrite: begin anew a folder of the same command with other settings; needs ``clear``.
        clear: removes the results of the job that the folder had; takes its manifest.

    Raises:
        OutputError: where the folder cannot be written.
        UsageError: where the folder has another job.
    """
    with locked(out):
        refuse_other(out, now["command"])
        before = read_manifest(out)
        if before is not None and before["fingerprint"] == now["fingerprint"]:
            now = {**before, **{name: now[name] for name in CHOICES if name in now}}
            if now == before:
                return
        elif before is not None and not overwrite:
            anew = "" if clear is None else ", or begin this one anew with --overwrite, which removes its results"
            said = f"{out} holds a job with other settings: {compare(before, now)}"
            raise UsageError(f"{said}; name another folder with --out{anew}")
        elif before is not None and clear is not None:
            clear(before)
        with atomic_write(out / MANIFEST) as temporary:
            temporary.write_text(_readable(now) + "\n", encoding="utf-8")


def check(out: Path, fingerprint: str) -> None:
    """Make sure that a folder still has the job of a run.

    Args:
        out: the folder.
        fingerprint: of the job.

    Raises:
        OutputError: where another run has begun it anew.
    """
    if _fingerprint(out, file_state(out / MANIFEST)) != fingerprint:
        raise OutputError(f"{out} was begun anew by another run, with other settings; name another folder with --out")


@lru_cache(maxsize=8)
def _fingerprint(folder: Path, state: tuple[int, ...]) -> str | None:
    """The fingerprint of the job of a folder, which is read again where the file of its manifest has changed."""
    found = read_manifest(folder) if state else None
    return None if found is None else str(found["fingerprint"])


def _readable(value: Any, indent: str = "") -> str:
    """JSON with a line for each setting and for each member of a long list, such as a class."""
    inner = f"{indent}  "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{json.dumps(name)}: {_readable(one, inner)}" for name, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(one, dict | list | tuple) for one in value):
        return "[\n" + ",\n".join(f"{inner}{_readable(one, inner)}" for one in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def compare(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The settings that two manifests differ in, in words."""
    old, new = (dict(_flat(parse_json(json.dumps(settings)))) for settings in (before, now))  # tuples become lists
    ignored = (
        "densevl",
        "fingerprint",
        *CHOICES,
        "vocabulary.name",
        "vocabulary.source",
        "vocabulary.palette",
    )
    names = [name for name in {**old, **new} if old.get(name) != new.get(name) and name not in ignored]
    return ", ".join(f"{name} {_said(old.get(name))} there, {_said(new.get(name))} here" for name in names)


def _flat(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{above}{name}.")
        else:
            yield f"{above}{name}", inner


def _said(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), 80)
