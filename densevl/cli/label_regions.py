"""``densevl label-regions``: captions, noun phrases and boxes for them, into shards for training."""

import argparse
import sys
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_place_options, positive
from densevl.cli.workers import add_worker_options, engine_of

__all__ = ["add"]

EXAMPLES = """\
  densevl label-regions demo/images --detector mini --out shards          captions in garden.txt beside garden.png
  densevl label-regions photos/ --captions captions_train2017.json --out shards --workers 8
  densevl label-regions photos/ --captioner Salesforce/blip-image-captioning-base --out shards --device cuda
  densevl label-regions "s3://bucket/laion-{000..999}.tar" --out shards     in a bucket; also gs://
  densevl label-regions "laion/*.tar" --out /shared/shards --ray auto --workers 64 --device cuda
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "label-regions",
        _label,
        "find the things that captions name, into shards of region texts",
        "Find the things that captions name, and write images, boxes and words to shards.",
        EXAMPLES,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="images, or shards of images and captions (.tar, .parquet): files, folders, globs, s3://, gs://, @LIST",
    )
    parser.add_argument("--format", default="webdataset", metavar="NAME", help="webdataset (default) or parquet")
    parser.add_argument(
        "--shard-size", type=positive, default=1000, metavar="N", help="images of a shard (default: 1000)"
    )
    _add_models(parser)
    parser.add_argument("--overwrite", action="store_true", help="label again what is done already")
    add_place_options(parser, "shards")
    add_worker_options(parser)


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--captions", metavar="FILE", help="COCO captions, CSV or JSON (default: a .txt beside each image)"
    )
    parser.add_argument(
        "--captioner", metavar="MODEL", help="writes missing captions: BLIP, BLIP-2, GIT; repo or folder"
    )
    parser.add_argument(
        "--phrases",
        default="rule",
        metavar="NAME",
        help="noun phrases by rule (default), nltk, spacy or spacy:PIPELINE",
    )
    parser.add_argument(
        "--detector", default="owlv2", metavar="NAME", help="owlv2 (default, 622 MB), grounding-dino, grain or mini"
    )
    parser.add_argument("--weights", metavar="MODEL", help="of the detector: repository or folder, or a file")
    parser.add_argument(
        "--size", type=positive, metavar="PX", help="side of owlv2's input (default: its own; CLOC: 448)"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.1, metavar="P", help="least confidence of a box (default: 0.1)"
    )
    parser.add_argument(
        "--most-phrases", type=positive, default=20, metavar="N", help="phrases of an image (default: 20)"
    )
    parser.add_argument("--batch", type=positive, default=8, metavar="N", help="images labelled together (default: 8)")


def _label(options: argparse.Namespace) -> int:
    from densevl.tasks.annotation.captions import read_captions
    from densevl.tasks.annotation.settings import LabelSettings

    # What cannot be used is said before a model is loaded, or its weights are fetched.
    captions = None if options.captions is None else read_captions(_place(options.captions, options.offline))
    detector = {"type": options.detector, "weights": options.weights, "size": options.size}
    from densevl.api.jobs.annotate import LabelRegionsJob
    from densevl.api.loading import choose_device

    engine = engine_of(options)
    settings = LabelSettings(
        detector={name: value for name, value in detector.items() if value is not None},
        captioner=options.captioner,
        phrases=_phrases(options.phrases),
        threshold=options.threshold,
        most=options.most_phrases,
        batch=options.batch,
        device=str(choose_device(options.device)),
        offline=options.offline,
    )
    job = LabelRegionsJob(
        options.sources,
        options.out,
        settings,
        captions,
        options.format,
        options.shard_size,
        engine,
        options.overwrite,
    )
    if job.unused:
        count = f"{len(job.unused)} captioned image{'s are' if len(job.unused) > 1 else ' is'} not among the inputs"
        print(f"densevl: {count}, such as {job.unused[0]!r}", file=sys.stderr)
    run = job.run()
    records, regions = (sum(getattr(counts, name) for _, counts in run.done) for name in ("records", "regions"))
    return run.report(
        f"{records} images and {regions} regions labelled, {len(run.failures)} failed; "
        f"shards: {len(run.done)} made, {len(run.skipped)} done before: {options.out}"
    )


def _place(text: str, offline: bool) -> Path | str:
    """The path of a file, or the URL of an object."""
    from densevl.core.inputs.remote import is_remote, usable
    from densevl.weights import is_offline

    return usable(text, is_offline(offline)) if is_remote(text) else Path(text)


def _phrases(name: str) -> str:
    """What finds noun phrases; of spaCy the pipeline that is installed, which is also said."""
    if name != "spacy":
        return name
    from densevl.tasks.spacy_pipeline import installed_pipeline

    pipeline = installed_pipeline()
    print(f"densevl: noun phrases by the spaCy pipeline {pipeline}", file=sys.stderr)
    return f"spacy:{pipeline}"
