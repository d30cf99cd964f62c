"""``densevl models`` and ``densevl env``: what there is, and what a bug report needs."""

import argparse
import json
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from densevl.cli.options import add_command

__all__ = ["add"]

EXAMPLES = """\
  densevl models                       all of them, in groups
  densevl models fgvp                  one of them in full: files, addresses, licences, settings
  densevl models --json                for programs
"""

HEAD = "name", "size", "weights", "licence"

LEAST = 36
"""Columns that a description needs beside the others; with fewer it gets a line of its own."""


def add(commands: Any) -> None:
    """Add the parsers of both commands."""
    models = add_command(
        commands, "models", _models, "list the models: size, licence, whether their weights are here", examples=EXAMPLES
    )
    models.add_argument("names", nargs="*", metavar="NAME", help="show these in full")
    models.add_argument("--json", action="store_true", help="print JSON")
    add_command(commands, "env", _env, "print what a bug report needs")


def _models(options: argparse.Namespace) -> int:
    from densevl.api.catalogue import catalogue, details

    if options.json:
        found: Any = [details(name) for name in options.names] or [vars(item) for item in catalogue()]
        print(json.dumps(found, ensure_ascii=False, indent=1))
    elif options.names:
        print("\n\n".join("\n".join(_in_full(details(name))) for name in options.names))
    else:
        print("\n".join(_table(catalogue(), shutil.get_terminal_size().columns)))
    return 0


def _table(items: Sequence[Any], columns: int) -> Iterator[str]:
    """The lines of the table of all models and parts, for a terminal of so many columns."""
    rows = [(item.name, _megabytes(item.size), _state(item.here), _short(item.licence)) for item in items]
    widths = [max(len(row[i]) for row in (HEAD, *rows)) for i in range(4)]
    rest = columns - sum(widths) - 2 * len(widths)
    indent = " " * (columns - rest if rest >= LEAST else 4)
    yield (_line(HEAD, widths) + ("description" if rest >= LEAST else "")).rstrip()
    group = None
    for item, row in zip(items, rows, strict=True):
        if item.group != group:
            group = item.group
            yield from ("", group)
        line = _line(row, widths)
        first, *more = textwrap.wrap(item.description, max(LEAST, columns - len(indent))) or [""]
        yield from [line + first] if rest >= LEAST else [line.rstrip(), indent + first]
        yield from (indent + text for text in more)
    yield from ("", "densevl models NAME shows one in full; densevl fetch NAME brings its weights here.")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, size, state, licence = row
    return f"{name:{widths[0]}}  {size:>{widths[1]}}  {state:{widths[2]}}  {licence:{widths[3]}}  "


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size else "-"


def _state(here: bool) -> str:
    return "here" if here else "to fetch"


def _short(licence: str) -> str:
    """A licence by its short name, where one stands behind the long one in brackets."""
    return re.sub(r"[^,(]+ \(([^()]+)\)", r"\1", licence)


def _in_full(item: dict[str, Any]) -> Iterator[str]:
    """The lines about one model or part."""
    yield f"{item['name']}: {item['description']}"
    if item["commands"]:
        yield f"for densevl {', '.join(item['commands'])}"
    yield f"weights: {_megabytes(item['size'])}, {_state(item['here'])}, {item['licence']}"
    for file in item["files"]:
        facts = file["weights"], file["file"], file["size"], file["licence"], _state(file["here"])
        yield "  " + ", ".join(facts)
        yield from (f"    {name:7} {file[name]}" for name in ("from", "check", "at", "paper", "note") if file[name])
    if item["encoder"]:
        yield "read with:"
        yield from (f"    {name:12} {_plain(value)}" for name, value in item["encoder"].items() if value)
    if item["config"]:
        yield "settings:"
        yield textwrap.indent(json.dumps(item["config"], ensure_ascii=False, indent=2), "  ")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _env(options: argparse.Namespace) -> int:
    from densevl.cli.environment import describe

    print(describe())
    return 0
