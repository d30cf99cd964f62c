"""``densevl datasets``: the benchmarks of label maps, what is here of them and how to get the rest."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl datasets                     all of them: here or missing
  densevl datasets cityscapes          one of them in full: where to get it, how to convert it
  densevl datasets --data /mnt/data    below another folder
  densevl datasets --json              for programs
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands, "datasets", _datasets, "list the benchmarks of label maps, and how to get them", examples=EXAMPLES
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="show these in full")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="where they lie (default: data)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _datasets(options: argparse.Namespace) -> int:
    from densevl.benchmarks.catalogue import data_set, data_set_names

    try:
        found = [data_set(name, options.data) for name in options.names or data_set_names()]
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        rows = [{**vars(one), "steps": list(one.steps), "here": one.here, "state": one.state} for one in found]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif options.names:
        print("\n\n".join("\n".join(_in_full(one)) for one in found))
    else:
        names, states = (max(len(getattr(one, key)) for one in found) for key in ("name", "state"))
        print(f"{'name':{names}}  {'state':{states}}  what")
        for one in found:
            print(f"{one.name:{names}}  {one.state:{states}}  {one.title}")
        print("\ndensevl datasets NAME says how to get one; densevl test NAME --model MODEL measures it.")
    return 0


def _in_full(one: Any) -> Iterator[str]:
    """The lines about one data set."""
    yield f"{one.name}: {one.title}"
    yield f"state:    {one.state}"
    yield f"from:     {one.source}"
    yield f"licence:  {one.licence}; its own page says what counts"
    if one.images:
        yield f"images:   {one.images}"
        yield f"labels:   {one.labels}"
    if one.steps and not one.here:
        yield "to get it:"
        yield from (f"  {place}. {step}" for place, step in enumerate(one.steps, 1))
    yield f"measure:  densevl test {one.name} --model MODEL" + ("" if not one.images else " --cfg-options data_root=…")
