"""The images that commands work on, as arguments and options."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import positive

__all__ = ["INPUTS", "add_inputs", "named_inputs"]

INPUTS = "IMAGE|FOLDER|GLOB|URL|ARCHIVE|VIDEO|TABLE|@LIST|-"


def add_inputs(parser: argparse.ArgumentParser, note: str = "") -> None:
    """Add the argument of the images, and the option of videos.

    Args:
        parser: of the command.
        note: what else the argument may hold.
    """
    kinds = (
        "images: files, folders, globs, URLs (https://, s3://, gs://), tar archives, videos, tables (Parquet, CSV, "
        "JSON Lines), @LIST (a file of them), - (a list on stdin)"
    )
    parser.add_argument("inputs", nargs="+", metavar=INPUTS, help=f"{kinds}{note}")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="take every N-th frame of videos")
    parser.add_argument("--column", metavar="NAME", help="of a table: has the images")


def named_inputs(options: argparse.Namespace, arguments: list[str], exclude: Path | None = None) -> list[Any]:
    """The images that arguments name.

    Args:
        options: of the command.
        arguments: files and so on.
        exclude: folder whose files do not count: that of the results.

    Raises:
        UsageError: where an argument leads to no image, or to the network offline.
    """
    from densevl.core.inputs import find_inputs
    from densevl.weights import is_offline

    every, column = getattr(options, "every", 1), getattr(options, "column", None)
    offline = is_offline(options.offline)
    return list(find_inputs(arguments, exclude=exclude, every=every, offline=offline, column=column))
