"""Commands that do what an MMEngine config describes, in one process or in those of ``torchrun``."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from densevl.cli.options import add_command, name_here
from densevl.core.errors import DensevlError

__all__ = ["add_config_command"]


def add_config_command(
    commands: Any, name: str, work: Callable[..., int], summary: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command whose exit code is 2 wherever the config cannot be used or the work cannot be done.

    Args:
        commands: where to.
        name: of the command.
        work: takes every option by its name, those of the config as ``options``; gives the exit code.
        summary: what the command does.
        examples: command lines.
    """
    parser = add_command(commands, name, lambda options: _run(work, vars(options)), summary, examples=examples)
    parser.add_argument("config", metavar="CONFIG", help="a config file, or the name of a shipped one")
    parser.add_argument(
        "--work-dir", type=name_here, metavar="FOLDER", help="where files go (default: work_dirs/CONFIG)"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="change the config")
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help="pytorch: under torchrun")
    parser.add_argument("--local-rank", type=int, help=argparse.SUPPRESS)
    return parser


def _run(work: Callable[..., int], options: dict[str, Any]) -> int:
    chosen = {name: value for name, value in options.items() if name not in ("run", "changes", "local_rank")}
    try:
        from densevl.core.config_files import parse_options

        return work(options=parse_options(chosen.pop("cfg_options")), **chosen)
    except DensevlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # running the same command again would not go on, but begin anew
        print("densevl: interrupted", file=sys.stderr)
        return 130
