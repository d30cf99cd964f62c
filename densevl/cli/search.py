"""``densevl search``: find regions across many images by words, or by an example."""

import argparse
import hashlib
import json
import sys
from os.path import abspath
from pathlib import Path
from typing import Any

from densevl.cli.embed import add_region_options, embed, loaded_with, report_failures
from densevl.cli.options import add_model_options, load_model, positive
from densevl.core.errors import ImageError, UsageError

__all__ = ["add"]

EXAMPLES = """\
examples:
  densevl search photos/ "a striped sponge"             the folder is embedded first, and kept for the next time
  densevl search index "red ring" "blue circle" --top 50      an index that `densevl embed` wrote
  densevl search index --like photo.jpg --box 40,30,120,140   more of this
  densevl search index "red ring" --per-image 1 --json
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "search",
        usage="%(prog)s INDEX|FOLDER [QUERY ...] [--like IMAGE [--box X0,Y0,X1,Y1]] [options]",
        help="find regions across many images by words or by an example",
        description="Find regions across many images by words or by an example, and show them on a contact sheet.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("index", metavar="INDEX|FOLDER", help="of `densevl embed`; or images, which are embedded first")
    words = parser.add_argument("queries", nargs="+", metavar="QUERY", help="such as 'a striped sponge', or several")
    words.required = False  # "*" would take no words at once where options stand before them
    parser.add_argument("--like", type=Path, metavar="IMAGE", help="an example in the place of words")
    parser.add_argument("--box", type=_box, metavar="X0,Y0,X1,Y1", help="its region (default: the whole image)")
    parser.add_argument("--top", type=positive, default=20, metavar="N", help="hits of each query (default: 20)")
    parser.add_argument("--per-image", type=positive, metavar="N", help="at most so many hits of one image")
    parser.add_argument(
        "--overlap", type=float, default=0.5, metavar="IOU", help="boxes of one image above this are one (default: 0.5)"
    )
    parser.add_argument("--faiss", metavar="KIND", help="for millions of regions: flat (exact), ivf or hnsw")
    parser.add_argument("--json", action="store_true", help="print the hits as JSON")
    parser.add_argument("--no-sheet", action="store_true", help="write no contact sheet")
    parser.add_argument("--index", dest="kept", type=Path, metavar="FOLDER", help="where the index of images is kept")
    add_region_options(parser)
    add_model_options(parser)
    parser.set_defaults(run=_search)


def _search(options: argparse.Namespace) -> int:
    from densevl.tasks.search import is_index

    _check(options)
    if is_index(options.index):
        path, index, model, report = _opened(options)
    else:
        path, index, model, report = _embedded(options)

    from densevl.api.jobs.search import Example, SearchJob

    ranker = None
    if options.faiss:
        from densevl.tasks.search.faiss_ranker import FaissRanker

        ranker = FaissRanker(index, options.faiss, path)
        print(f"densevl: FAISS {options.faiss} finds {ranker.recall:.1%} of the 10 nearest regions", file=sys.stderr)
    job = SearchJob(index, model, ranker)
    limits = {"top": options.top, "per_image": options.per_image, "overlap": options.overlap}
    if options.like is not None:
        example = Example(options.like, options.box)
        found = {str(example): job.by_example(example, **limits)}
    else:
        found = dict(zip(options.queries, job.by_text(options.queries, **limits), strict=True))
    _show(options, job, found)
    return 0 if report is None else report_failures(report, path)


def _check(options: argparse.Namespace) -> None:
    """Say what cannot be used before a model is loaded."""
    options.queries = options.queries or []
    if options.like is None and not options.queries:
        raise UsageError("there is nothing to search for; write what, such as 'a striped sponge', or give --like IMAGE")
    if options.like is not None and options.queries:
        raise UsageError(f"search by words or by an example; got both {options.queries[0]!r} and --like {options.like}")
    if options.box is not None and options.like is None:
        raise UsageError("--box is the region of an example; give its image with --like")
    if any(not query.strip() for query in options.queries):
        raise UsageError("a query is empty; write what to search for, such as 'a striped sponge'")
    if not 0 <= options.overlap <= 1:
        raise UsageError(f"overlap is an IoU between 0 and 1; got {options.overlap}")
    if options.like is not None:
        from densevl.core.images import read_image
        from densevl.core.regions import Regions

        picture = read_image(options.like)
        if options.box is not None:
            Regions.from_boxes([options.box], picture.shape[:2])


def _opened(options: argparse.Namespace) -> Any:
    """The index that was named, and the model that made it unless the options name another."""
    from densevl.tasks.search import RegionIndex

    index = RegionIndex.open(options.index)
    made_with = {name: index.model[name] for name in ("weights", "embedder", "mask_maker") if name in index.model}
    if options.model is None:
        options.model = index.model.get("name")
        options.weights = options.weights or made_with.get("weights")
    chosen = {name: getattr(options, name) or made_with.get(name) for name in ("embedder", "mask_maker")}
    return Path(options.index), index, load_model(options, lazy=True, **chosen), None


def _embedded(options: argparse.Namespace) -> Any:
    """The index of images that were named, kept where it is found the next time."""
    from densevl.core.files import expand_inputs
    from densevl.tasks.search import RegionIndex, is_index
    from densevl.weights import cache_dir

    inputs = expand_inputs([options.index], exclude=options.kept)
    out = options.kept or cache_dir() / "indexes" / _kept_name(options)
    report, model = embed(options, inputs, out, replace=options.kept is None)
    if not is_index(out):
        path, reason = report.failed[0][0].path, report.failed[0][1]
        raise ImageError(f"none of the {len(inputs)} images could be embedded; the first one, {path}: {reason}")
    index = RegionIndex.open(out)
    return out, index.only([abspath(item.path) for item in inputs]), model, report


def _kept_name(options: argparse.Namespace) -> str:
    """The name of the index of a folder, by everything that decides what is in it."""
    place = Path(options.index).absolute()
    decides = [str(place), options.model, options.regions, str(options.boxes), options.format, loaded_with(options)]
    return f"{place.name or 'images'}-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]}"


def _show(options: argparse.Namespace, job: Any, found: dict[str, Any]) -> None:
    from densevl.api.jobs.search import hit_records, sheet_name

    answers = []
    for query, hits in found.items():
        sheet = None if options.no_sheet else options.out / sheet_name(query)
        missing = [] if sheet is None else job.write_sheet(sheet, query, hits)
        if missing:
            print(f"densevl: {len(missing)} images are missing or have changed: {missing[0]}", file=sys.stderr)
        answers.append({"query": query, "hits": hit_records(hits), "sheet": None if sheet is None else str(sheet)})
        if options.json:
            continue
        print(query if hits else f"{query}: nothing found")
        for rank, hit in enumerate(hits, 1):
            box = ", ".join(f"{value:.0f}" for value in hit.box)
            print(f"{rank:4}  {hit.score:6.3f}  {_relative(hit.image.path)} ({box})")
        if sheet is not None:
            print(sheet)
    if options.json:
        print(json.dumps({"model_id": job.index.model_id, "queries": answers}, ensure_ascii=False, indent=1))


def _relative(path: str) -> str:
    """A path as people would write it here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _box(text: str) -> tuple[float, ...]:
    """Four numbers, as a type of arguments."""
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"write a box as X0,Y0,X1,Y1, such as 40,30,120,140; got {text!r}") from None
    return x0, y0, x1, y1
