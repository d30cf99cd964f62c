"""``densevl check``: taught classes on labelled examples, and what a model does not know, by lenses."""

import argparse
import sys
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_model_options, load_model, natural, positive
from densevl.cli.taught import read_taught
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl check classes.safetensors test.json --report report/     open report/index.html
  densevl check classes.safetensors labelme/ --images photos/ --report report/ --unknown 0.01
  densevl check near.safetensors clips/ --report report/           sequences, by classes that were taught for them
  densevl check mini --lens calibration --scenes 100 --report report/
  densevl check maskclip instances_val2017.json --images val2017/ --lens calibration --report report/
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "check",
        _check,
        "check taught classes, or what a model does not know",
        "Check what `densevl teach` wrote on labelled examples that it was not taught by: accuracy, confusion, "
        "calibration, and what it does not know. Names that are none of the classes are strangers, which it should "
        "call unknown. With --lens, ask a model or taught classes further questions, on TEST or on scenes that are "
        "drawn for it.",
        EXAMPLES,
    )
    parser.add_argument("asked", metavar="CLASSES|MODEL", help="what `densevl teach` wrote, or with --lens a model")
    parser.add_argument(
        "test", type=Path, nargs="?", metavar="TEST", help="labelled examples, in any layout of `densevl teach`"
    )
    parser.add_argument("--report", type=Path, required=True, metavar="FOLDER", help="where the page is written")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="of the images (default: as in TEST)")
    parser.add_argument(
        "--lens",
        action="append",
        dest="lenses",
        metavar="NAME",
        help="a question, such as calibration; may be repeated. --set NAME.SETTING=VALUE changes a setting of it",
    )
    parser.add_argument(
        "--scenes", type=positive, metavar="N", help="scenes that are drawn without TEST (default: 100)"
    )
    parser.add_argument("--seed", type=natural, metavar="S", help="of these scenes (default: 0)")
    parser.add_argument(
        "--unknown-names", default="", metavar="NAMES", help="with --lens, names of TEST that are none of the classes"
    )
    parser.add_argument(
        "--unknown",
        type=float,
        default=0.05,
        metavar="P",
        help="share of known things that may be called unknown (default: 0.05)",
    )
    add_model_options(parser, "segmentor", out=None, early=False)


def _check(options: argparse.Namespace) -> int:
    if options.lenses:
        return _examine(options)
    options.classes = Path(options.asked)
    if options.test is None:
        raise UsageError("classes are checked on labelled examples: give them as TEST, or a question by --lens")
    from densevl.classifiers.evidence import check_share
    from densevl.datasets.examples import read_examples, read_sequences
    from densevl.tasks.teaching.checking import truths_of

    # What cannot be used is said before a model is loaded.
    check_share(options.unknown)
    classes = read_taught(options.classes)
    sequences = "sequences" in classes.heads
    examples = read_sequences(options.test) if sequences else read_examples(options.test, options.images)
    truths_of(classes, examples)

    from densevl.api.jobs.check import CheckJob

    job = CheckJob(load_model(options, lazy=True), classes, options.classes, options.report, options.unknown)
    for line in job.lines(job.run(examples, str(options.test))):
        print(line)
    print(options.report / "index.html")
    return 0


def _examine(options: argparse.Namespace) -> int:
    from densevl.benchmarks.lenses.run import build_lenses, examine, own_settings
    from densevl.benchmarks.lenses.source import Source

    settings = own_settings(options.lenses, options.changes)
    lenses = build_lenses(options.lenses, settings)
    options.changes = {path: value for path, value in options.changes.items() if path not in settings}
    strangers = tuple(name.strip() for name in options.unknown_names.split(",") if name.strip())
    drawn = {name: value for name in ("scenes", "seed") if (value := getattr(options, name)) is not None}
    if drawn and options.test is not None:
        raise UsageError(f"--{next(iter(drawn))} is of scenes that are drawn, and TEST is given; leave one of them out")
    source = Source(options.test, options.images, strangers=strangers, **drawn)
    classes = _asked(options)

    from densevl.benchmarks.lenses.subject import Subject

    found = examine(Subject(load_model(options, lazy=True), classes), lenses, source, options.report)
    for name, finding in found.findings.items():
        print(f"{name}:", *finding.lines, sep="\n  ")
    if found.note:
        print(f"densevl: {found.note}", file=sys.stderr)
    print(options.report / "index.html")
    return 0


def _asked(options: argparse.Namespace) -> Any:
    """The classes that are asked; None, and the name of the model in the options, where a model is.

    Raises:
        UsageError: where a model is named twice, or a file holds no classes.
    """
    path = Path(options.asked)
    if path.is_file() or path.suffix == ".safetensors":
        options.classes = path
        return read_taught(path)
    if options.model is not None:
        raise UsageError(f"the model is named twice, {options.asked} and --model {options.model}; leave one out")
    options.model = options.asked
    return None
