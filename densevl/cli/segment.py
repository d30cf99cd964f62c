"""``densevl segment``: label every pixel of images with the words that suit it best."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from densevl.cli.inputs import add_inputs, named_inputs
from densevl.cli.options import (
    Change,
    add_command,
    add_model_options,
    add_segment_options,
    loading_of,
    natural,
    positive,
)
from densevl.cli.saving import add_save_options, chosen_formats
from densevl.cli.unknown import add_unknown_option, check_unknown, known_share, show_known
from densevl.cli.words import say_remarks
from densevl.cli.workers import add_worker_options, engine_of
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl segment photo.jpg "cat, sofa|couch, floor"           synonyms are separated by |
  densevl segment photos/ "person, dog" --background literal --out results
  densevl segment "day*/*.jpg" --vocabulary ade20k --background head
  densevl segment photos/ --classes my_classes.txt             one class a line, synonyms after commas
  densevl segment clip.mp4 "road, car" --every 5               frames, and clip.overlay.mp4
  densevl segment photos.tar @list.txt https://example.org/cat.jpg "cat, dog"
  densevl segment photos/ "cat, dog" --save coco,yolo-seg --instances connected
  densevl segment "s3://bucket/*.tar" "cat, dog" --pack 1000   images of a bucket, results as tars
  densevl segment photos/ "cat, dog" --workers 4               processes; --ray auto takes a Ray cluster
  densevl segment scene.tif "road, field, roof" --tile 1024 --save geotiff
  densevl segment photo.jpg "cat, dog" --model maskclip --set short_side=672 --set smooth=true
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    summary = "label every pixel of images with the words that suit it best"
    parser = add_command(commands, "segment", _segment, summary, examples=EXAMPLES)
    add_inputs(parser, "; the last one is CLASSES ('cat, sofa|couch') unless --classes or --vocabulary is given")
    words = parser.add_mutually_exclusive_group()
    words.add_argument(
        "--classes", type=Path, metavar="FILE", help="class names, one a line, or JSON; or what `densevl teach` wrote"
    )
    words.add_argument("--vocabulary", metavar="NAME", help="a built-in list: ade20k, cityscapes, coco_stuff, …")
    add_segment_options(parser)
    parser.add_argument("--window", action=Change, type=positive, metavar="PX", help="side of the sliding windows")
    parser.add_argument("--stride", action=Change, type=positive, metavar="PX", help="step between windows")
    parser.add_argument(
        "--tile",
        type=positive,
        metavar="PX",
        help="cut images into tiles of this side, each labelled by itself: for large images, whose memory is flat then",
    )
    parser.add_argument(
        "--overlap", type=natural, metavar="PX", help="pixels that tiles share (default: an eighth of the side)"
    )
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="images encoded together (default: 1)")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="segment again what is done already; a folder with other settings is begun anew",
    )
    parser.add_argument(
        "--shard",
        metavar="N/OF",
        help="do this part of the images, such as 2/8, beside other processes; auto asks the cluster. "
        "`densevl merge` joins the parts",
    )
    parser.add_argument(
        "--pack",
        type=positive,
        metavar="N",
        help="write the results of each N images as one WebDataset tar, rather than as files",
    )
    add_save_options(parser)
    add_unknown_option(parser, taught=True)
    add_model_options(parser)
    add_worker_options(parser)


def _segment(options: argparse.Namespace) -> int:
    from densevl.api.jobs.shards import Shard
    from densevl.core.background import Background

    vocabulary, sources = _vocabulary(options)
    background = Background.parse(options.background) if options.background else None
    shard = Shard.parse(options.shard) if options.shard else None
    inputs = named_inputs(options, sources, options.out)
    check_unknown(options)
    if options.overlap is not None and options.tile is None:
        raise UsageError("--overlap is that of tiles; give --tile as well")

    from densevl.api.jobs.formats import usual_formats
    from densevl.api.jobs.segment import SegmentJob

    images = _images(inputs)
    engine, loading = engine_of(options), loading_of(options)
    model = show_known(loading.load(), options)
    job = SegmentJob(
        model,
        vocabulary,
        options.out,
        background,
        options.batch,
        options.overwrite,
        chosen_formats(options, images),
        options.instances,
        options.min_area,
        engine,
        loading,
        options.pack,
        None if options.tile is None else (options.tile, options.overlap),
        usual_formats(images),
    )
    if job.is_new and options.save is None and "overlay" not in job.results.formats:
        folder = f"{options.out}{' --out FOLDER' if options.pack else ''}"
        told = f"{images} images, so no overlays are drawn; add them later with `densevl merge {folder} --save overlay`"
        print(f"densevl: {told}", file=sys.stderr)
    _say_single(vocabulary, job.texts.vocabulary, background)
    say_remarks(model.read_words(vocabulary, background))
    if options.pack is not None:
        return _segment_packs(job, options, inputs, shard)
    run = job.run(inputs, shard)
    job.unfamiliar.report()
    if shard is not None:
        print(f"shard {shard}: {run.counts('segmented')}; when all are done, join them: densevl merge {options.out}")
        return run.report()
    page = [str(options.out / "index.html")] if options.html else []
    if len(inputs) > 1 or not run.done:
        return run.report("\n".join([run.counts("segmented"), *page]))
    item, _ = run.done[0]
    lines = [f"{area:7.1%}  {name}" for name, area in job.results.areas(item.relative).items()]
    return run.report("\n".join([*lines, str(next(iter(job.results.files(item.relative)), options.out)), *page]))


def _images(inputs: Any) -> int:
    """How many images there are; frames of videos count for none, whose overlays become videos."""
    from densevl.api.jobs.videos import video_of
    from densevl.core.files import InputFile

    return sum(isinstance(item, InputFile) or video_of(item.place) is None for item in inputs)


def _segment_packs(job: Any, options: argparse.Namespace, inputs: Any, shard: Any) -> int:
    """Segment into tars, and say how many images and tars there are."""
    from densevl.api.jobs.packed import PackedJob

    run = PackedJob(job, options.pack).run(inputs, shard)
    job.unfamiliar.report()
    images = sum(said.images for _, said in run.done)
    before = sum(len(pack.inputs) for pack in run.skipped)
    counts = (
        f"{images} segmented into {len(run.done)} tars, {before} done before, {len(run.failures)} failed: {options.out}"
    )
    joined = f"; when all are done, join them: densevl merge {options.out}"
    return run.report(counts if shard is None else f"shard {shard}: {counts}{joined}")


def _say_single(asked: Any, found: Any, background: Any) -> None:
    """Say what one class is compared with, in a line; nothing of several, or where somebody names a mode."""
    from densevl.core.vocabulary import Vocabulary

    name = repr(asked.names[0])
    if len(found) == 1:
        only = "one class, which every pixel gets; add classes after commas, or leave out --background none"
        print(f"densevl: {name} is {only}", file=sys.stderr)
    elif isinstance(asked, Vocabulary) and len(asked) == 1 and background is None and found.background is not None:
        words = len(found.classes[found.background]) - 1
        if words and asked.background is None:
            told = f"compared with {words} words that come out as background"
            print(f"densevl: {name} is one class, {told}; --background none gives it every pixel", file=sys.stderr)


def _vocabulary(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """The vocabulary or the taught classes that the command names, and the other arguments."""
    from densevl.cli.taught import read_taught
    from densevl.core.inputs.urls import is_url
    from densevl.core.tensor_header import is_tensor_file
    from densevl.core.vocabulary import Vocabulary

    if options.classes is not None and is_tensor_file(options.classes):
        return read_taught(options.classes, known_share(options)), options.inputs
    if options.vocabulary or options.classes:
        return Vocabulary.load(options.vocabulary or options.classes), options.inputs
    *sources, words = options.inputs
    if not sources or os.path.exists(words) or words == "-" or words.startswith("@") or is_url(words):
        taken = f"; {words!r} is a file here: a class of that name is written ' {words}'" if sources else ""
        raise UsageError(
            'no classes given: write them last, as in `densevl segment photo.jpg "cat, sofa|couch"`, '
            f"or use --classes FILE or --vocabulary NAME{taken if os.path.exists(words) else ''}"
        )
    return Vocabulary.parse(words), sources
