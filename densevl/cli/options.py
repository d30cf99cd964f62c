"""Commands and the options that they share: the model, where it runs, where results go."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError

__all__ = [
    "Change",
    "add_command",
    "add_model_options",
    "add_place_options",
    "add_segment_options",
    "load_model",
    "natural",
    "numbers",
    "positive",
]


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str | None = None,
    examples: str = "",
    **settings: Any,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: where to.
        name: of the command.
        run: what it does with its options; gives the exit code.
        summary: what it does, in the list of all commands.
        description: what it does, in its own help; None takes the summary.
        examples: command lines, each with what it shows.
        settings: of its parser.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **settings,
    )
    parser.set_defaults(run=run, changes={})
    return parser


class Change(argparse.Action):
    """Notes a change of the model's settings under the option's own name, or under the path that it gives."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Add it to the changes."""
        path, value = values if self.dest == "changes" else (self.dest, values)
        if path in namespace.changes:
            parser.error(f"{path} is given twice: {namespace.changes[path]!r} and {value!r}")
        namespace.changes = {**namespace.changes, path: value}


def add_place_options(parser: argparse.ArgumentParser, out: str | None) -> None:
    """Add the options of the machine, and of the folder of results, unless that is None."""
    if out is not None:
        parser.add_argument("--out", type=Path, default=Path(out), metavar="FOLDER", help=f"results (default: {out})")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)")
    parser.add_argument("--offline", action="store_true", help="never reach for the network")


def add_model_options(parser: argparse.ArgumentParser, default: str | None = None, out: str | None = "out") -> None:
    """Add the options of the model, its settings and weights, the machine, and the folder of results.

    Args:
        parser: of the command.
        default: the model where none is named; None for a segmentor that suits the network.
        out: folder of the results where none is named; None for a command that writes none.
    """
    named = default or "dinoiser; offline, with its weights missing, maskclip"
    parser.add_argument(
        "--model",
        default=default,
        metavar="NAME",
        help=f"see `densevl models`, or HEAD@ENCODER, such as maskclip@clip-vit-l14-openai (default: {named})",
    )
    parser.add_argument("--weights", metavar="FILE", help="weights in the place of the model's own")
    parser.add_argument(
        "--set",
        dest="changes",
        action=Change,
        type=_change,
        metavar="PATH=VALUE",
        help="change a setting of the model, such as short_side=336 or encoder.weights=FILE; may be repeated",
    )
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    add_place_options(parser, out)


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of labelling pixels."""
    parser.add_argument(
        "--background",
        metavar="MODE",
        help="what shows none of the classes: none, literal, words, words:sky,wall, "
        "threshold:0.5 or head, for a model that has one (default: the model's own)",
    )
    parser.add_argument("--short-side", action=Change, type=positive, metavar="PX", help="resize to this short side")


def load_model(options: argparse.Namespace, lazy: bool = False) -> Any:
    """The :class:`densevl.Model` that the options name, with their changes.

    Raises:
        UsageError: where a change is that of another option.
    """
    from densevl.api.loading import load
    from densevl.api.models import default_model

    arguments = {name: getattr(options, name) for name in ("weights", "device", "dtype", "offline")}
    for name in options.changes:
        if name in arguments:
            raise UsageError(f"--set {name}=… is an option of its own; write --{name}")
    name = options.model
    if name is None:
        name, reason = default_model(options.offline)
        print(f"densevl: model {name}: {reason}; --model takes another", file=sys.stderr)
    return load(name, lazy=lazy, **arguments, **options.changes)


def _change(text: str) -> tuple[str, Any]:
    """A path and its value, as a type of arguments; what is no JSON is a text."""
    path, equals, value = text.partition("=")
    if not (path and equals):
        raise argparse.ArgumentTypeError(f"write a change as PATH=VALUE, such as short_side=336; got {text!r}")
    from densevl.core.files import parse_json

    try:
        return path, parse_json(value)
    except ValueError:
        return path, value


def positive(text: str) -> int:
    """A number above zero, as a type of arguments."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number; got {text}")
    return value


def natural(text: str) -> int:
    """A number from zero on, as a type of arguments."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on; got {text}")
    return value


def numbers(kind: Callable[[str], Any], names: str, example: str) -> Callable[[str], tuple[Any, ...]]:
    """Several numbers with commas between them, as a type of arguments.

    Args:
        kind: of each number.
        names: of the numbers, as in ``X,Y``.
        example: of them.
    """

    def read(text: str) -> tuple[Any, ...]:
        pieces = text.split(",")
        try:
            if len(pieces) == len(names.split(",")):
                return tuple(map(kind, pieces))
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"write {names}, such as {example}; got {text!r}")

    return read
