"""``densevl refer``: find the region of an image that an expression refers to."""

import argparse
import sys
from pathlib import Path
from typing import Any

from densevl.cli.options import Change, add_command, add_html_option, add_model_options, load_model, positive
from densevl.cli.taught import add_classes_option, read_taught
from densevl.cli.unknown import add_unknown_option, check_unknown, known_share, show_known
from densevl.cli.words import say_remarks

__all__ = ["add"]

EXAMPLES = """\
  densevl refer photo.jpg "the left dog" "the bowl under the table"    one encoding for both
  densevl refer photo.jpg "woman in red" --boxes boxes.json --top 3     [[x0, y0, x1, y1], …] or COCO detections
  densevl refer demo/images/garden.png "the heart right of the ring" --model mini --explain
  densevl refer photo.jpg "the left gadget" --classes classes.safetensors    a class that `densevl teach` taught
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    summary = "find the region of an image that an expression refers to"
    parser = add_command(commands, "refer", _refer, summary, examples=EXAMPLES)
    parser.add_argument(
        "image", metavar="IMAGE|URL|-", help="a file, a URL, an image of an archive (photos.tar/cat.jpg), - for stdin"
    )
    parser.add_argument("expressions", nargs="+", metavar="EXPRESSION", help="such as 'the left dog'")
    parser.add_argument("--boxes", type=Path, metavar="FILE", help="JSON of the boxes to choose from")
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="regions to show (default: 5)")
    parser.add_argument(
        "--parser",
        action=Change,
        metavar="NAME",
        help="what takes expressions apart: rules, or reclip as in published figures (default: the model's own)",
    )
    parser.add_argument(
        "--show-prompts", action="store_true", help="also write a contact sheet of marked images for each"
    )
    add_html_option(parser)
    parser.add_argument("--explain", action="store_true", help="print what each component contributes")
    add_classes_option(parser, "nouns that are their names mean what was taught")
    add_unknown_option(parser, taught=True)
    add_model_options(parser, "grounder")


def _refer(options: argparse.Namespace) -> int:
    from densevl.core.inputs import open_input
    from densevl.tasks.grounding.expression import plain_words
    from densevl.tasks.grounding.parsers import load_parser
    from densevl.weights import is_offline

    # What cannot be used is said before a model is built, or its weights are fetched.
    image = open_input(options.image, is_offline(options.offline))
    for text in options.expressions:
        plain_words(text)
    if "parser" in options.changes:
        options.changes["parser"] = load_parser(options.changes["parser"])
    check_unknown(options)
    classes = read_taught(options.classes, known_share(options))

    from densevl.api.jobs.refer import ReferJob

    model = show_known(load_model(options, lazy=True), options)
    job = ReferJob(model, options.out, options.top, options.show_prompts, options.html, classes)
    found = job.run(image, options.expressions, options.boxes)
    say_remarks(model.read_texts(job.texts_of(found)))
    job.unfamiliar.report()
    pictures, sheets = job.pictures(image, len(found)), job.sheets(image, len(found))
    for i, grounding in enumerate(found):
        print(grounding.explain(options.top) if options.explain else _listed(grounding, options.top))
        for note in _notes(grounding):
            print(f"densevl: {note}", file=sys.stderr)
        if grounding.doubtful:
            print(f"densevl: nothing in the image seems to be meant by {grounding.expression!r}", file=sys.stderr)
        print(*(files[i] for files in (pictures, sheets) if files), sep="\n")
    if options.html:
        print(options.out / "index.html")
    return 0


def _notes(grounding: Any) -> list[str]:
    """Cautions about the reading of an expression, a line each."""
    phrase, text = grounding.phrase, grounding.expression
    notes = []
    if phrase.not_understood:
        parts = ", ".join(map(repr, phrase.not_understood))
        notes.append(f"not understood in {text!r}: {parts}; no box shows it, so only the image-text model judges it")
    unused = [step.name for step in grounding.steps if not step.used]
    if unused:
        notes.append(f"no region fulfils {', '.join(map(repr, unused))} of {text!r}; it was left out")
    if phrase.count is None:
        notes.append(f"{text!r} may mean several things; each is a region of its own in the ranking")
    elif phrase.count > 1:
        notes.append(f"{text!r} means {phrase.count} things: the first {phrase.count} regions of the ranking")
    return notes


def _listed(grounding: Any, top: int) -> str:
    """The best regions of an expression, a line each."""
    lines = [grounding.expression]
    for rank, index in enumerate(grounding.ranking[:top], 1):
        box = ", ".join(f"{value:.0f}" for value in grounding.regions.boxes[index].tolist())
        lines.append(f"{rank:4}  {100 * float(grounding.probabilities[index]):5.1f} %  ({box})")
    return "\n".join(lines)
