"""``densevl refer``: find the region of an image, or of each of many images, that an expression refers to."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densevl.cli.inputs import INPUTS, named_inputs
from densevl.cli.options import Change, add_command, add_html_option, add_model_options, loading_of, positive
from densevl.cli.taught import add_classes_option, read_taught
from densevl.cli.unknown import add_unknown_option, check_unknown, known_share, show_known
from densevl.cli.words import say_remarks
from densevl.cli.workers import add_worker_options, engine_of
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl refer photo.jpg "the left dog" "the bowl under the table"    one encoding for both
  densevl refer photo.jpg "woman in red" --boxes boxes.json --top 3     [[x0, y0, x1, y1], …] or COCO detections
  densevl refer demo/images/garden.png "the heart right of the ring" --model mini --explain
  densevl refer photo.jpg "the left gadget" --classes classes.safetensors    a class that `densevl teach` taught
  densevl refer photos/ "the left dog" --workers 4     in each image: folders, globs, @lists, archives, several files
  densevl refer --pairs pairs.jsonl               {"image": "a.jpg", "expressions": ["the left dog"]} a line; or CSV
"""

MOST_NOTED = 10
"""Expressions of many images whose reading is remarked on."""


class _Pairs(argparse.Action):
    """Notes a file of pairs, which takes the place of positional arguments."""

    def __init__(self, *names: Any, instead_of: Sequence[argparse.Action] = (), **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.instead_of = instead_of

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Keep the path; the others may be missing."""
        setattr(namespace, self.dest, values)
        for one in self.instead_of:
            one.required = False


def add(commands: Any) -> None:
    """Add the parser of the command."""
    summary = "find the region of an image that an expression refers to"
    parser = add_command(commands, "refer", _refer, summary, examples=EXAMPLES)
    image = parser.add_argument(
        "image",
        metavar=INPUTS,
        help="a file, a URL, an image of an archive (photos.tar/cat.jpg), - for an image on stdin; or many: a folder, "
        "a glob, an archive, a video, @LIST, further files behind the first",
    )
    texts = parser.add_argument("expressions", nargs="+", metavar="EXPRESSION", help="such as 'the left dog'")
    parser.add_argument(
        "--pairs",
        type=Path,
        action=_Pairs,
        instead_of=(image, texts),
        metavar="FILE",
        help="images with expressions of their own, in the place of the arguments: .jsonl or .csv with image, "
        "expression or expressions, and boxes where there are some",
    )
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="take every N-th frame of videos")
    parser.add_argument("--overwrite", action="store_true", help="of many images: do again what is done already")
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
    add_worker_options(parser)


def _refer(options: argparse.Namespace) -> int:
    from densevl.tasks.grounding.expression import plain_words

    if options.pairs is not None:
        if options.image is not None:
            raise UsageError(f"--pairs names the images and their expressions; leave out {options.image!r}")
        return _refer_many(options, None, [])
    sources, expressions = _sources(options.image, options.expressions)
    for text in expressions:  # what cannot be used is said before a model is built, or its weights are fetched
        plain_words(text)
    return _refer_many(options, sources, expressions) if _are_many(sources) else _refer_one(options, sources[0])


def _sources(first: str, others: list[str]) -> tuple[list[str], list[str]]:
    """The arguments that name images, and the expressions behind them."""
    count = next((place for place, text in enumerate(others) if not _is_image(text)), len(others))
    if count == len(others):
        raise UsageError(
            f'no expression given: write it behind the images, as in `densevl refer {first} "the left dog"`'
        )
    return [first, *others[:count]], others[count:]


def _is_image(text: str) -> bool:
    """True for an argument behind the first one that names images: a word that is also a folder is an expression."""
    from densevl.core.inputs.urls import is_url

    if is_url(text):
        return True
    return os.path.lexists(text.removeprefix("@")) and (os.sep in text or bool(os.path.splitext(text)[1]))


def _are_many(sources: list[str]) -> bool:
    """True where the arguments name more than one image, or what may hold more."""
    from glob import has_magic

    from densevl.core.files import SUFFIXES
    from densevl.core.inputs.archives import is_archive
    from densevl.core.inputs.braces import expand_braces
    from densevl.core.inputs.remote import is_remote
    from densevl.core.inputs.tables import is_table
    from densevl.core.inputs.urls import is_web
    from densevl.core.inputs.videos import is_video

    (first, *others), there = sources, os.path.lexists(sources[0])
    if is_web(first):
        return bool(others)
    if others or os.path.isdir(first) or is_archive(first) or is_video(first) or is_table(first):
        return True
    if is_remote(first) and not first.lower().endswith(SUFFIXES):  # a folder, or at least it may be one
        return True
    return not there and (first.startswith("@") or has_magic(first) or len(expand_braces(first)) > 1)


def _prepare(options: argparse.Namespace) -> tuple[Any, Any, Any, Any]:
    """Taught classes, engine, loading and model."""
    from densevl.tasks.grounding.parsers import load_parser

    if "parser" in options.changes:
        options.changes["parser"] = load_parser(options.changes["parser"])
    check_unknown(options)
    classes = read_taught(options.classes, known_share(options))
    engine, loading = engine_of(options), loading_of(options, lazy=True)
    return classes, engine, loading, show_known(loading.load(), options)


def _refer_one(options: argparse.Namespace, source: str) -> int:
    from densevl.core.inputs import open_input
    from densevl.weights import is_offline

    image = open_input(source, is_offline(options.offline))
    classes, _, _, model = _prepare(options)

    from densevl.api.jobs.refer import ReferJob

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


def _refer_many(options: argparse.Namespace, sources: list[str] | None, expressions: list[str]) -> int:
    for option, given in (("--explain", options.explain), ("--html", options.html)):
        if given:
            raise UsageError(f"{option} is of one image, and there may be many; leave it out, or name one image")
    from densevl.api.jobs.asked import ask_all, read_pairs
    from densevl.weights import is_offline

    if sources is None:
        asked = read_pairs(options.pairs, is_offline(options.offline))
    else:
        asked = ask_all(named_inputs(options, sources, options.out), expressions)
    if options.boxes is not None:
        from densevl.regions.proposals import ProposalFile

        ProposalFile(options.boxes, named=True)
    classes, engine, loading, model = _prepare(options)

    from densevl.api.jobs.refer import ANSWERS, ReferJob

    job = ReferJob(model, options.out, options.top, options.show_prompts, False, classes, engine, loading)
    parse, texts = model.grounder.parse, dict.fromkeys(text for one in asked for text in one.expressions)
    for text in list(texts)[:MOST_NOTED]:
        if parts := ", ".join(map(repr, parse(text).not_understood)):
            print(f"densevl: not understood in {text!r}: {parts}", file=sys.stderr)
    run = job.run_many(asked, options.boxes, options.overwrite)
    job.unfamiliar.report()
    answers = [answer for _, said in run.done for answer in said.answers]
    doubtful = sum(answer.doubtful for answer in answers)
    lines = [run.counts(f"referred with {len(answers)} expressions")]
    if doubtful:
        lines.append(f"{doubtful} of {len(answers)} expressions seem to mean nothing in their images: doubtful")
    return run.report("\n".join([*lines, str(options.out / ANSWERS)]))


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
