"""The command line: each command is a module of this folder with a function ``add`` that adds its parser.

Exit codes: 0 all went well, 1 some inputs failed or the weights cannot be had, 2 the command was not usable as given.
``test`` and ``train`` end with 2 where the weights cannot be had, too.
"""

import argparse
import sys
from collections.abc import Sequence

from densevl.cli import (
    check,
    compare,
    contrast,
    cost,
    datasets,
    embed,
    export,
    fetch,
    label_regions,
    listings,
    merge,
    rank,
    recognise,
    refer,
    search,
    segment,
    shrink,
    teach,
    test,
    train,
    tune,
    words,
)
from densevl.cli.environment import package_version
from densevl.cli.options import choose_model
from densevl.core.errors import DensevlError, UsageError, first_line, shortened

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if getattr(options, "early", False):
            choose_model(options)
        code: int = options.run(options)
    except DensevlError as error:
        print(f"densevl: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("densevl: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:  # of a path that no file system takes, such as one that is too long
        name = "" if error.filename is None else f"{shortened(str(error.filename))}: "
        print(f"densevl: error: {name}{error.strerror or first_line(error)}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="densevl", description="Dense and region-level vision from free text.")
    parser.add_argument("--version", action="version", version=f"densevl {package_version('densevl')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (
        segment,
        merge,
        refer,
        compare,
        embed,
        search,
        rank,
        teach,
        tune,
        check,
        recognise,
        label_regions,
        test,
        train,
        export,
        shrink,
        cost,
        listings,
        datasets,
        words,
        contrast,
        fetch,
    ):
        command.add(commands)
    return parser
