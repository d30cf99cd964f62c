"""``densevl check``: taught classes on labelled examples that they were not taught by."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_model_options, load_model
from densevl.cli.taught import read_taught

__all__ = ["add"]

EXAMPLES = """\
  densevl check classes.safetensors test.json --report report/     open report/index.html
  densevl check classes.safetensors labelme/ --images photos/ --report report/ --unknown 0.01
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "check",
        _check,
        "check taught classes on labelled examples",
        "Check what `densevl teach` wrote on labelled examples that it was not taught by: accuracy, confusion, "
        "calibration, and what it does not know. Names that are none of the classes are strangers, which it should "
        "call unknown.",
        EXAMPLES,
    )
    parser.add_argument("classes", type=Path, metavar="CLASSES", help="what `densevl teach` wrote")
    parser.add_argument("test", type=Path, metavar="TEST", help="labelled examples, in any layout of `densevl teach`")
    parser.add_argument("--report", type=Path, required=True, metavar="FOLDER", help="where the page is written")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="of the images (default: as in TEST)")
    parser.add_argument(
        "--unknown",
        type=float,
        default=0.05,
        metavar="P",
        help="share of known things that may be called unknown (default: 0.05)",
    )
    add_model_options(parser, "segmentor", out=None, early=False)


def _check(options: argparse.Namespace) -> int:
    from densevl.classifiers.evidence import check_share
    from densevl.datasets.examples import read_examples
    from densevl.tasks.teaching.checking import truths_of

    # What cannot be used is said before a model is loaded.
    check_share(options.unknown)
    classes, examples = read_taught(options.classes), read_examples(options.test, options.images)
    truths_of(classes, examples)

    from densevl.api.jobs.check import CheckJob

    job = CheckJob(load_model(options, lazy=True), classes, options.classes, options.report, options.unknown)
    for line in job.lines(job.run(examples, str(options.test))):
        print(line)
    print(options.report / "index.html")
    return 0
