"""``densevl segment``: label every pixel of images with the words that suit it best."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from densevl.cli.options import add_model_options, load_model, positive
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
examples:
  densevl segment photo.jpg "cat, sofa|couch, floor"           synonyms are separated by |
  densevl segment photos/ "person, dog" --background literal --out results
  densevl segment "day*/*.jpg" --vocabulary ade20k --background head
  densevl segment photos/ --classes my_classes.txt             one class a line, synonyms after commas
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
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
    add_model_options(parser)
    parser.add_argument(
        "--background",
        metavar="MODE",
        help="what shows none of the classes: none, literal, words, words:sky,wall, "
        "threshold:0.5 or head, for a model that has one (default: the model's own)",
    )
    parser.add_argument("--short-side", type=positive, metavar="PX", help="resize images to this short side")
    parser.add_argument("--window", type=positive, metavar="PX", help="side of the sliding windows")
    parser.add_argument("--stride", type=positive, metavar="PX", help="step between windows")
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="images encoded together (default: 1)")
    parser.add_argument("--overwrite", action="store_true", help="segment again what is done already")
    parser.set_defaults(run=_segment)


def _segment(options: argparse.Namespace) -> int:
    from densevl.core.background import Background
    from densevl.core.files import expand_inputs

    vocabulary, sources = _vocabulary(options)
    background = Background.parse(options.background) if options.background else None
    inputs = expand_inputs(sources, exclude=options.out)

    from densevl.api.jobs.segment import Job

    model = load_model(options, short_side=options.short_side, window=options.window, stride=options.stride)
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
    from densevl.core.vocabulary import Vocabulary

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
