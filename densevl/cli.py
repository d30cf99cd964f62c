"""The command line: ``densevl segment``, ``densevl models``, ``densevl env``.

Exit codes: 0 all went well, 1 some inputs failed or the weights cannot be had, 2 the command was not usable as given.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densevl.errors import DensevlError, UsageError

__all__ = ["main"]

EXAMPLES = """\
examples:
  densevl segment photo.jpg "cat, sofa|couch, floor"           synonyms are separated by |
  densevl segment photos/ "person, dog" --background literal --out results
  densevl segment "day*/*.jpg" --vocabulary ade20k --model maskclip
  densevl segment photos/ --classes my_classes.txt             one class a line, synonyms after commas
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except DensevlError as error:
        print(f"densevl: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("densevl: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="densevl", description="Dense and region-level vision from free text.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(commands)
    models = commands.add_parser("models", help="list the models: size, licence, whether their weights are here")
    models.set_defaults(run=_models)
    env = commands.add_parser("env", help="print what a bug report needs")
    env.set_defaults(run=_env)
    return parser


def _add_segment(commands: Any) -> None:
    parser = commands.add_parser(
        "segment",
        help="label every pixel of images with the words that suit it best",
        description="Label every pixel of images with the words that suit it best.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IMAGE|FOLDER|GLOB",
        help="images; the last one is CLASSES ('cat, sofa|couch') unless --classes or --vocabulary is given",
    )
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--classes", type=Path, metavar="FILE", help="class names, one a line, or JSON")
    words.add_argument("--vocabulary", metavar="NAME", help="a built-in list: ade20k, cityscapes, coco_stuff, …")
    parser.add_argument("--model", default="maskclip", help="see `densevl models` (default: maskclip)")
    parser.add_argument("--weights", metavar="FILE", help="weights in the place of the model's own")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER", help="results (default: out)")
    parser.add_argument(
        "--background",
        metavar="MODE",
        help="what shows none of the classes: none, literal, words, "
        "words:sky,wall or threshold:0.5 (default: the model's own)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--short-side", type=_positive, metavar="PX", help="resize images to this short side")
    parser.add_argument("--window", type=_positive, metavar="PX", help="side of the sliding windows")
    parser.add_argument("--stride", type=_positive, metavar="PX", help="step between windows")
    parser.add_argument("--batch", type=_positive, default=1, metavar="N", help="images encoded together (default: 1)")
    parser.add_argument("--offline", action="store_true", help="never reach for the network")
    parser.add_argument("--overwrite", action="store_true", help="segment again what is done already")
    parser.set_defaults(run=_segment)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number; got {text}")
    return value


def _segment(options: argparse.Namespace) -> int:
    from densevl.background import Background
    from densevl.inputs import expand_inputs

    vocabulary, sources = _vocabulary(options)
    background = Background.parse(options.background) if options.background else None
    inputs = expand_inputs(sources, exclude=options.out)

    from densevl.api import load
    from densevl.job import Job

    chosen = {name: getattr(options, name) for name in ("short_side", "window", "stride")}
    overrides = {name: value for name, value in chosen.items() if value is not None}
    model = load(
        options.model,
        weights=options.weights,
        device=options.device,
        dtype=options.dtype,
        offline=options.offline,
        **overrides,
    )
    job = Job(model, vocabulary, options.out, background, options.batch, options.overwrite)
    report = job.run(inputs)

    if len(inputs) == 1 and report.done:
        item, areas = report.done[0]
        for name, area in sorted(areas.items(), key=lambda pair: -pair[1]):
            print(f"{area:7.1%}  {name}")
        print(options.out / f"{item.relative}.overlay.png")
    else:
        print(
            f"{len(report.done)} segmented, {len(report.skipped)} done before, {len(report.failed)} failed: "
            f"{options.out}"
        )
    for item, reason in report.failed[:10]:
        print(f"densevl: {item.path}: {reason}", file=sys.stderr)
    if report.failed:
        print(
            f"densevl: {len(report.failed)} failed; all are listed in {options.out / 'failures.jsonl'}", file=sys.stderr
        )
    return 1 if report.failed else 0


def _vocabulary(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """The vocabulary that the command names, and the other arguments."""
    from densevl.vocabulary import Vocabulary

    if options.vocabulary:
        return Vocabulary.load(options.vocabulary), options.inputs
    if options.classes:
        return Vocabulary.load(options.classes), options.inputs
    *sources, words = options.inputs
    if not sources or os.path.exists(words):
        raise UsageError(
            'no classes given: write them last, as in `densevl segment photo.jpg "cat, sofa|couch"`, '
            "or use --classes FILE or --vocabulary NAME"
        )
    return Vocabulary.parse(words), sources


def _models(options: argparse.Namespace) -> int:
    from densevl.models import models

    entries = models()
    width = max(map(len, entries))
    for name, entry in entries.items():
        state = "here" if entry.cached else "to fetch"
        print(f"{name:{width}}  {entry.size / 1e6:7.0f} MB  {state:8}  {entry.licence:10}  {entry.description}")
    return 0


def _env(options: argparse.Namespace) -> int:
    from densevl.environment import describe

    print(describe())
    return 0


def _version() -> str:
    from densevl import __version__

    return f"densevl {__version__}"
