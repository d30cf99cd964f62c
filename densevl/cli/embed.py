"""``densevl embed``: the regions of images as vectors, in an index that ``densevl search`` reads."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densevl.cli.inputs import add_inputs, named_inputs
from densevl.cli.options import Change, add_command, add_model_options, loading_of, positive
from densevl.cli.taught import add_classes_option, read_taught, take_model_of
from densevl.cli.unknown import add_unknown_option, check_unknown, show_known
from densevl.cli.workers import add_worker_options, engine_of
from densevl.core.errors import UsageError

__all__ = ["add", "add_region_options", "embed", "loaded_with"]

EXAMPLES = """\
  densevl embed photos/ --out index                        regions that the model proposes, or a grid of boxes
  densevl embed photos/ --out index --boxes detections.json       COCO detections or a COCO data set
  densevl embed photos/ --out index --model maskclip --mask-maker sam-vit-b --format parquet
  densevl embed photos/ --out index --store int8           a quarter of the space, for millions of regions
  densevl embed photos/ --out index --workers 4            the same index from four processes; --ray takes a cluster
  densevl embed photos/ --out index --classes classes.safetensors         also names each region: regions.jsonl
  densevl search index "a striped sponge"
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "embed",
        _embed,
        "embed the regions of images into an index, to be searched later",
        "Embed the regions of images into an index. Running again adds what is new or has changed.",
        EXAMPLES,
    )
    add_inputs(parser)
    add_region_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="begin the index anew")
    add_classes_option(parser, "the class of each region is written to regions.jsonl beside the index")
    add_model_options(parser, out="index")


def add_region_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of finding and embedding regions, and of the index's files."""
    found = parser.add_mutually_exclusive_group()
    found.add_argument(
        "--regions",
        default="auto",
        metavar="HOW",
        help="everything that the mask maker sees, a grid of boxes, the whole image, or auto: everything where the "
        "model has a mask maker, else grid (default: auto)",
    )
    found.add_argument("--boxes", type=Path, metavar="FILE", help="JSON of the boxes of each image, such as COCO's")
    parser.add_argument(
        "--mask-maker", action=Change, metavar="NAME", help="what proposes, such as sam-vit-b (default: the model's)"
    )
    parser.add_argument(
        "--embedder",
        action=Change,
        metavar="NAME",
        help="mask-pooling, marked-images or another one (default: the model's)",
    )
    parser.add_argument("--batch", type=positive, default=8, metavar="N", help="images encoded together (default: 8)")
    parser.add_argument("--format", default="safetensors", metavar="NAME", help="safetensors (default) or parquet")
    parser.add_argument(
        "--store",
        metavar="NAME",
        help="how vectors are kept: float32, float16 (half of it) or int8 (a quarter); default: as the index has them",
    )
    parser.add_argument("--no-masks", action="store_true", help="keep boxes alone")
    add_unknown_option(parser)
    add_worker_options(parser)


def loaded_with(options: argparse.Namespace) -> dict[str, Any]:
    """The options that decide how the model is loaded, beside its name."""
    chosen = {"weights": options.weights, "dtype": options.dtype, "changes": options.changes}
    return {name: value for name, value in chosen.items() if value not in (None, "float32", {})}


def embed(options: argparse.Namespace, inputs: list[Any], out: Path, queries: Sequence[str] = (), **anew: Any) -> Any:
    """Run a job with these options, and whether the index begins anew; gives the run, the model and the kinds.

    Queries are what will be asked of the index: those that the model does not understand are said before it is made.
    """
    from densevl.api.jobs.embed import REGIONS, EmbedJob
    from densevl.core.errors import suggestion
    from densevl.regions.proposals import ProposalFile
    from densevl.tasks.search.files import next_part
    from densevl.tasks.search.stores import check_store

    # What cannot be used is said before a model is loaded, or its weights are fetched.
    if options.regions not in REGIONS:
        raise UsageError(f"regions {options.regions!r} are unknown; {suggestion(options.regions, REGIONS)}")
    next_part(out, options.format)
    if options.store is not None:
        check_store(options.store)
    if options.boxes is not None:
        ProposalFile(options.boxes)
    check_unknown(options)
    engine, loading = engine_of(options), loading_of(options, lazy=True)
    model = show_known(loading.load(), options)
    if queries:
        model.embed_texts(queries)
    regions, masks = options.boxes or options.regions, not options.no_masks
    placed: dict[str, Any] = {"loaded": loaded_with(options), "engine": engine, "loading": loading}
    job = EmbedJob(model, out, regions, options.format, options.batch, masks, store=options.store, **{**placed, **anew})
    return job.run(inputs), model, job.unfamiliar


def _embed(options: argparse.Namespace) -> int:
    inputs = named_inputs(options, options.inputs, options.out)
    classes = read_taught(options.classes)
    take_model_of(options)
    run, model, unfamiliar = embed(options, inputs, options.out, overwrite=options.overwrite)
    unfamiliar.report()
    regions = sum(count for _, count in run.done)
    named = [] if classes is None else _name(options.out, classes, model)
    code: int = run.report("\n".join([run.counts(f"embedded with {regions} regions"), *named]))
    return code


def _name(out: Path, classes: Any, model: Any) -> list[str]:
    """Write the class of each region of the index; how many there are of each."""
    from densevl.api.jobs.named_regions import NAMED, write_named_regions
    from densevl.regions.embedders.embedder import space_of
    from densevl.tasks.search import RegionIndex

    counts = write_named_regions(RegionIndex.open(out), model.bound(classes), space_of(model.embedder), out / NAMED)
    return [*(f"{count:7}  {name}" for name, count in counts.items()), str(out / NAMED)]
