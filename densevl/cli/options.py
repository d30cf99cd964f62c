"""Commands and the options that they share: the model, where it runs, where results go."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevl.cli.taught import take_model_of
from densevl.core.errors import UsageError

if TYPE_CHECKING:
    from densevl.api.loading import Loading

__all__ = [
    "Change",
    "add_command",
    "add_html_option",
    "add_model_options",
    "add_place_options",
    "add_segment_options",
    "choose_model",
    "load_model",
    "loading_of",
    "name_here",
    "natural",
    "numbers",
    "path_here",
    "positive",
]

MODELS = {
    "segmentor": "dinoiser; offline, with its weights missing, maskclip",
    "grounder": "fgvp-b16; offline, with its weights missing, fgvp",
}
"""The defaults of :func:`densevl.api.models.default_model` in words, which the help shows without importing it."""


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
    parser.register("type", Path, path_here)
    parser.set_defaults(run=run, changes={})
    return parser


def path_here(text: str) -> Path:
    """A path of this machine, as a type of arguments: each ``type=Path`` of a command is this one."""
    return Path(name_here(text))


def name_here(text: str) -> str:
    """A path of this machine as it is written, as a type of arguments; it is refused where it is a URL."""
    if "://" not in text:
        return text
    from densevl.core.inputs.urls import is_url

    if is_url(text):
        raise argparse.ArgumentTypeError(
            f"{text} is not on this machine: copy what is to be read to a file, and let results be written to a "
            "folder, which goes on where it was, and sync that (aws s3 sync, gcloud storage rsync)"
        )
    return text


class Change(argparse.Action):
    """Notes a change of the model's settings under the option's own name, or under the path that it gives."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Add it to the changes."""
        path, value = values if self.dest == "changes" else (self.dest, values)
        if path in namespace.changes:
            parser.error(f"{path} is given twice: {namespace.changes[path]!r} and {value!r}")
        namespace.changes = {**namespace.changes, path: value}


def add_html_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of a page of the results."""
    parser.add_argument("--html", action="store_true", help="also write index.html, a page for any browser")


def add_place_options(parser: argparse.ArgumentParser, out: str | None) -> None:
    """Add the options of the machine, and of the folder of results, unless that is None."""
    if out is not None:
        parser.add_argument("--out", type=Path, default=Path(out), metavar="FOLDER", help=f"results (default: {out})")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)")
    parser.add_argument("--offline", action="store_true", help="never reach for the network")


def add_model_options(
    parser: argparse.ArgumentParser, component: str = "segmentor", out: str | None = "out", early: bool = True
) -> None:
    """Add the options of the model, its settings and weights, the machine, and the folder of results.

    Args:
        parser: of the command.
        component: of the model that the command is about: ``"segmentor"`` or ``"grounder"``.
        out: folder of the results where none is named; None for a command that writes none.
        early: whether :func:`choose_model` may choose the model before the command runs.
    """
    parser.set_defaults(component=component, early=early)
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="see `densevl models`, or HEAD@ENCODER, such as maskclip@clip-vit-l14-openai; `densevl fetch NAME` brings "
        f"its weights here beforehand (default: {MODELS[component]} if it is here)",
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
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16", "int8", "auto"])
    add_place_options(parser, out)


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of labelling pixels."""
    parser.add_argument(
        "--background",
        metavar="MODE",
        help="what shows none of the classes: none, literal, words, words:sky,wall, contrast, contrast:FILE, "
        "threshold:0.5 or head, for a model that has one (default: the model's own; contrast for a single class)",
    )
    parser.add_argument("--short-side", action=Change, type=positive, metavar="PX", help="resize to this short side")


def choose_model(options: argparse.Namespace) -> None:
    """Choose the model where the options name none, and say which.

    Raises:
        MissingWeights: where its weights are not here and the network is not to be used, before anything heavy is
            imported; a change that may bring other weights is left to the loading.
    """
    from densevl.api.models import default_model, missing_weights
    from densevl.weights import MissingWeights, is_offline

    take_model_of(options)
    if options.model is None:
        options.model, reason = default_model(options.offline, options.component)
        print(f"densevl: model {options.model}: {reason}; --model takes another", file=sys.stderr)
    same = options.weights is None and all(isinstance(value, int | float) for value in options.changes.values())
    missing = missing_weights(options.model, options.component) if same and is_offline(options.offline) else ()
    if missing:
        raise MissingWeights(missing, "densevl is set to stay offline", options.model)


def load_model(options: argparse.Namespace, lazy: bool = False) -> Any:
    """The :class:`densevl.Model` that the options name, with their changes.

    Raises:
        UsageError: where a change is that of another option.
    """
    return loading_of(options, lazy).load()


def loading_of(options: argparse.Namespace, lazy: bool = False) -> "Loading":
    """How the model is loaded that the options name, which other processes do again.

    Raises:
        UsageError: where a change is that of another option.
    """
    from densevl.api.loading import Loading

    arguments = {name: getattr(options, name) for name in ("weights", "device", "dtype", "offline")}
    for name in options.changes:
        if name in arguments:
            raise UsageError(f"--set {name}=… is an option of its own; write --{name}")
    if options.model is None:
        choose_model(options)
    return Loading(options.model, {**arguments, "lazy": lazy, **options.changes})


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
