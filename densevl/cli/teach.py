"""``densevl teach``: classes from a few examples, which every other command takes where it takes names."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.embed import loaded_with
from densevl.cli.options import Change, add_command, add_model_options, loading_of, natural, positive
from densevl.cli.workers import add_worker_options, engine_of
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl teach annotations.json --out classes.safetensors --model mini     a file of COCO, boxes or masks
  densevl teach labelme/ --out classes.safetensors --report report          LabelMe files; pictures of what was learnt
  densevl teach data.yaml --out classes.safetensors --for pixels            YOLO labels; for label maps
  densevl teach folders/ --out classes.safetensors                          a folder of images for each class
  densevl teach clips/ --out near.safetensors --for sequences               folders of frames or videos, by class
  densevl teach more.json --add-to classes.safetensors --out classes.safetensors
  densevl segment photos/ --classes classes.safetensors
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "teach",
        _teach,
        "teach a model classes of your own by a few examples",
        "Teach a model classes of your own by a few examples: boxes, masks, points or whole images with names.",
        EXAMPLES,
    )
    parser.add_argument(
        "examples",
        type=Path,
        metavar="EXAMPLES",
        help="a file of COCO, a folder of LabelMe files, data.yaml of YOLO labels, a folder of images for each class, "
        'or a JSON or JSONL list of {"image": …, "name": …, "box" | "mask" | "point": …}; of sequences a folder for '
        'each class with folders of frames or videos, or a list of {"sequence": …, "name": …}',
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the classes are written")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="of the images (default: as in EXAMPLES)")
    parser.add_argument(
        "--for",
        dest="heads",
        choices=["regions", "pixels", "both", "sequences"],
        default="regions",
        help="what the classes are told apart by: regions, for search, refer and segment by proposals; pixels, for "
        "label maps; both; or sequences, what happens over frames, for recognise (default: regions)",
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="how regions are told apart (default: gda-prior, or that of --add-to)",
    )
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="earlier classes, which are kept and added to")
    parser.add_argument(
        "--views", type=natural, metavar="N", help="views of each example beside itself, by the same pass (default: 4)"
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of the views (default: 0)")
    parser.add_argument(
        "--flip",
        action="store_true",
        help="learn from the mirror image of each image, too: one more pass of the encoder an image, so that teaching "
        "takes about twice as long; not where left and right tell classes apart",
    )
    parser.add_argument(
        "--embedder",
        action=Change,
        metavar="NAME",
        help="what makes vectors of regions: mask-pooling, marked-images or another one (default: the model's)",
    )
    parser.add_argument(
        "--every",
        type=positive,
        default=1,
        metavar="N",
        help="with --for sequences, the step between frames that are taken (default: 1)",
    )
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also draw examples, confusion and calibration")
    add_model_options(parser, "segmentor", out=None)
    add_worker_options(parser)


def _teach(options: argparse.Namespace) -> int:
    from densevl.classifiers import CLASSIFIERS
    from densevl.cli.taught import read_taught
    from densevl.core.errors import suggestion
    from densevl.datasets.examples import read_examples, read_sequences

    if options.method is not None and options.method not in CLASSIFIERS.names:
        raise UsageError(f"method {options.method!r} is unknown; {suggestion(options.method, CLASSIFIERS.names)}")
    if options.out.is_dir():
        raise UsageError(f"--out {options.out} is a folder; name a file, such as {options.out / 'classes.safetensors'}")
    # What cannot be used is said before a model is loaded.
    sequences, before = options.heads == "sequences", read_taught(options.add_to)
    examples = read_sequences(options.examples) if sequences else read_examples(options.examples, options.images)
    _check_sequence_options(options, sequences)

    from densevl.api.jobs.teach import TeachJob
    from densevl.api.teaching import VIEWS

    engine, loading = engine_of(options), loading_of(options, lazy=True)
    job = TeachJob(loading.load(), options.out, options.report, loaded_with(options), engine, loading)
    taught = job.run(
        examples,
        heads=options.heads,
        method=options.method,
        add_to=before,
        views=VIEWS if options.views is None else options.views,
        seed=options.seed,
        flip=options.flip,
        every=options.every,
    )
    print("\n".join(job.lines(taught)))
    return 0


def _check_sequence_options(options: argparse.Namespace, sequences: bool) -> None:
    """Refuse options that say nothing of what is taught.

    Raises:
        UsageError: where one is given.
    """
    given = {"--images": options.images, "--embedder": options.changes.get("embedder"), "--views": options.views}
    named = [name for name, value in given.items() if value is not None]
    if sequences and named:
        raise UsageError(f"{named[0]} says nothing of sequences; leave it out")
    if not sequences and options.every != 1:
        raise UsageError("--every is the step between frames of sequences; give it with --for sequences")
