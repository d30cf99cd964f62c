"""``densevl refer``: find the region of an image that an expression refers to."""

import argparse
import sys
from pathlib import Path
from typing import Any

from densevl.cli.options import add_model_options, load_model, positive
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
examples:
  densevl refer photo.jpg "the left dog" "the bowl under the table"    one encoding for both
  densevl refer photo.jpg "woman in red" --boxes boxes.json --top 3     [[x0, y0, x1, y1], …] or COCO detections
  densevl refer demo/images/garden.png "the heart right of the ring" --model mini --explain
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "refer",
        help="find the region of an image that an expression refers to",
        description="Find the region of an image that an expression refers to.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("expressions", nargs="+", metavar="EXPRESSION", help="such as 'the left dog'")
    parser.add_argument("--boxes", type=Path, metavar="FILE", help="JSON of the boxes to choose from")
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="regions to show (default: 5)")
    parser.add_argument(
        "--parser",
        metavar="NAME",
        help="what takes expressions apart: rules, spacy, or spacy:PIPELINE (default: the model's own)",
    )
    parser.add_argument(
        "--show-prompts", action="store_true", help="also write a contact sheet of marked images for each"
    )
    parser.add_argument("--explain", action="store_true", help="print what each part contributes")
    add_model_options(parser, "fgvp")
    parser.set_defaults(run=_refer)


def _refer(options: argparse.Namespace) -> int:
    from densevl.api.models import model_entry, models
    from densevl.core.images import read_image
    from densevl.tasks.grounding.parsers import load_parser

    # What cannot be used is said before a model is loaded, or its weights are fetched.
    if not model_entry(options.model).grounder:
        able = ", ".join(name for name, entry in models().items() if entry.grounder)
        raise UsageError(f"model {options.model!r} labels pixels and tells no regions apart; take one of {able}")
    parser = load_parser(options.parser or "rules")
    for text in options.expressions:
        parser(text)
    read_image(options.image)

    from densevl.api.jobs.refer import ReferJob

    model = load_model(options, parser=parser if options.parser else None)
    job = ReferJob(model, options.out, options.top, options.show_prompts)
    found = job.run(options.image, options.expressions, options.boxes)
    pictures, sheets = job.pictures(options.image, len(found)), job.sheets(options.image, len(found))
    for i, grounding in enumerate(found):
        if options.explain:
            print(grounding.explain(options.top))
        else:
            print(grounding.expression)
            for rank, index in enumerate(grounding.ranking[: options.top], 1):
                box = ", ".join(f"{value:.0f}" for value in grounding.regions.boxes[index].tolist())
                print(f"{rank:4}  {float(grounding.probabilities[index]):7.1%}  region {index} ({box})")
        if grounding.doubtful:
            print(f"densevl: nothing in the picture seems to be meant by {grounding.expression!r}", file=sys.stderr)
        print(*(files[i] for files in (pictures, sheets) if files), sep="\n")
    return 0
