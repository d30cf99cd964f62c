"""``densevl merge``: join the results of processes that divided a job."""

import argparse
import sys
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command
from densevl.cli.saving import add_save_options, chosen_formats

__all__ = ["add"]

EXAMPLES = """\
  densevl segment photos/ "cat, dog" --out out --shard 1/2 &   two processes, one folder
  densevl segment photos/ "cat, dog" --out out --shard 2/2 &
  wait; densevl merge out
  densevl merge from-a/ from-b/ --out all                      folders of two machines
  densevl merge out --save yolo-seg --instances connected      another format of what is done, without the model
"""

MOST_PRINTED = 10


def add(commands: Any) -> None:
    """Add the parser of the command."""
    summary = "join the results of processes that divided a job of `densevl segment`"
    parser = add_command(commands, "merge", _merge, summary, examples=EXAMPLES)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="results of one job")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where all results go (default: in place, of one folder)"
    )
    add_save_options(parser)


def _merge(options: argparse.Namespace) -> int:
    from densevl.api.jobs.merge import merge

    merged = merge(options.folders, options.out, chosen_formats(options), options.instances, options.min_area)
    print(f"{merged.images} {'image' if merged.images == 1 else 'images'}, {len(merged.failures)} failed: {merged.out}")
    for sentence in merged.missing:
        print(f"densevl: {sentence}", file=sys.stderr)
    for name, reason in merged.failures[:MOST_PRINTED]:
        print(f"densevl: {name}: {reason}", file=sys.stderr)
    return 1 if merged.failures or merged.missing else 0
