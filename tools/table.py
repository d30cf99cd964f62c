"""Print a table of the README as Markdown: python tools/table.py dinoiser [--scenes 500]"""

import argparse
import sys
from pathlib import Path

from densevl.benchmarks.tables import DESCRIPTIONS, TABLES, measure
from densevl.cli.workers import add_worker_options, given_engine
from densevl.core.errors import DensevlError


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure a table and print it as Markdown.")
    parser.add_argument("name", choices=TABLES, help="; ".join(map(": ".join, DESCRIPTIONS.items())))
    parser.add_argument("--scenes", type=int, default=500, metavar="N", help="held-out scenes (default: 500)")
    parser.add_argument("--steps", type=int, metavar="N", help="of each training, where the table trains")
    parser.add_argument("--data", type=Path, metavar="DIR", help="pictures, for a table that measures on some")
    parser.add_argument("--models", nargs="+", default=(), metavar="NAME", help="for a table that compares models")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--protocol", metavar="NAME", help="benchmarks: own (default), none, or a published one")
    parser.add_argument("--sets", nargs="+", metavar="CONFIG", help="benchmarks: data sets (default: the usual eight)")
    parser.add_argument("--weights", metavar="NAME", help="benchmarks: of all encoders, such as random:0")
    parser.add_argument("--limit", type=int, metavar="N", help="benchmarks: the first N images of each set alone")
    parser.add_argument("--out", type=Path, metavar="DIR", help="files, and where a run goes on, of long tables")
    add_worker_options(parser)
    args = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    target = args.pop("json", None)
    try:
        print(table := measure(**given_engine(args), **args))
        if target is not None:
            table.save(target)
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
