"""``densevl search``: find regions across many images by words, or by an example."""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from densevl.cli.embed import add_region_options, embed, loaded_with
from densevl.cli.inputs import named_inputs
from densevl.cli.options import add_command, add_html_option, add_model_options, load_model, numbers, positive
from densevl.cli.taught import add_classes_option, read_taught, take_model_of
from densevl.cli.words import say_remarks
from densevl.core.errors import ImageError, UsageError, suggestion

__all__ = ["add"]

EXAMPLES = """\
  densevl search photos/ "a striped sponge"             the folder is embedded first, and kept for the next time
  densevl search index "red ring" "blue circle" --top 50      an index that `densevl embed` wrote
  densevl search index --like photo.jpg --box 40,30,120,140   more of this
  densevl search index --like photo.jpg --box 40,30,120,140 --labels names.json      what it is, by its neighbours
  densevl search index "red ring" --per-image 1 --json
  densevl search index "red ring" --folder photos/day1 --min-score 0.8         among some regions alone
  densevl search index "red" --class dog --among "cat, dog, car"      among the regions that are rather a dog
  densevl search index --approximate ivf-pq --build                            for millions of regions
  densevl search index "a red ring and a blue square" --compose      both in one image, the ring is shown
  densevl search photos/ gadget --classes classes.safetensors          a class that `densevl teach` taught
"""

_MOVED = "; an index and its images are moved together, or the images are embedded anew"


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "search",
        _search,
        "find regions across many images by words or by an example",
        "Find regions across many images by words or by an example, and show them on a contact sheet.",
        EXAMPLES,
        usage="%(prog)s INDEX|FOLDER [QUERY ...] [--like IMAGE [--box X0,Y0,X1,Y1]] [options]",
    )
    parser.add_argument("index", metavar="INDEX|FOLDER", help="of `densevl embed`; or images, which are embedded first")
    words = parser.add_argument("queries", nargs="+", metavar="QUERY", help="such as 'a striped sponge', or several")
    words.required = False  # "*" would take no words at once where options stand before them
    box = numbers(float, "X0,Y0,X1,Y1", "40,30,120,140")
    parser.add_argument("--like", type=Path, metavar="IMAGE", help="an example in the place of words")
    parser.add_argument("--box", type=box, metavar="X0,Y0,X1,Y1", help="its region (default: the whole image)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="EXAMPLES",
        help="names of regions or images of the index, in any layout of `densevl teach`: say what the example is",
    )
    parser.add_argument("--top", type=positive, default=20, metavar="N", help="hits of each query (default: 20)")
    parser.add_argument("--per-image", type=positive, metavar="N", help="at most so many hits of one image")
    parser.add_argument(
        "--overlap", type=float, default=0.5, metavar="IOU", help="boxes of one image above this are one (default: 0.5)"
    )
    parser.add_argument(
        "--compose", action="store_true", help="rank by each thing that a query names: 'a red cup and a blue plate'"
    )
    parser.add_argument(
        "--approximate",
        "--faiss",
        metavar="KIND",
        help="for millions of regions: ivf-pq, ivf, hnsw or flat (exact) of FAISS, usearch-f16 or usearch-i8; its file "
        "is kept beside the index, and built where it is not there",
    )
    parser.add_argument("--build", action="store_true", help="build the file of --approximate anew; needs no QUERY")
    only = parser.add_argument_group("regions that count (all that are given must hold)")
    only.add_argument("--image", metavar="GLOB", help="of images whose names match, or paths where it has a /")
    only.add_argument("--folder", metavar="FOLDER", help="of images in this folder and below it")
    only.add_argument("--min-score", type=float, metavar="X", help="whose proposals score at least so much")
    only.add_argument("--class", dest="label", metavar="NAME", help="taken for this class of --among, or of --classes")
    only.add_argument(
        "--among",
        metavar="CLASSES",
        help="the classes of which one is --class: 'cat, dog|puppy, car', or a file of them",
    )
    parser.add_argument("--json", action="store_true", help="print the hits as JSON")
    parser.add_argument("--no-sheet", action="store_true", help="write no contact sheet")
    add_html_option(parser)
    add_classes_option(parser, "queries may be their names, and without a query each is searched for")
    parser.add_argument("--index", dest="kept", type=Path, metavar="FOLDER", help="where the index of images is kept")
    add_region_options(parser)
    add_model_options(parser, early=False)


def _search(options: argparse.Namespace) -> int:
    from densevl.api.jobs.search import Example, SearchJob
    from densevl.tasks.search import is_index

    classes = read_taught(options.classes)
    if classes is not None and options.like is None and not options.queries:
        options.queries = list(classes.names)
    _check(options, classes)
    options.words = [query for query in options.queries if classes is None or classes.label(query) is None]
    example = None if options.like is None else Example(options.like, options.box)
    if example is not None:
        _ = example.region  # what cannot be used is said before a model is loaded
    if options.labels is not None:
        from densevl.datasets.examples import read_examples

        options.labels = read_examples(options.labels)
    path, index, model, run = (_opened if is_index(options.index) else _embedded)(options)
    index = _filtered(options, index, model, classes)
    ranker = _ranker(options, index, path)
    if options.build and not options.queries and example is None:
        return 0
    job = SearchJob(index, model, ranker, classes)
    say_remarks(model.read_texts(job.texts_of(options.queries)))
    limits = {"top": options.top, "per_image": options.per_image, "overlap": options.overlap}
    if example is not None:
        found = {str(example): job.by_example(example, **limits)}
        if options.labels is not None:
            options.answer = job.identify(example, options.labels)
    else:
        ask = job.by_composition if options.compose else job.by_text
        found = dict(zip(options.queries, ask(options.queries, **limits), strict=True))
    _show(options, job, found)
    _say_unfamiliar(path, model, example, found)
    return 0 if run is None else run.report()


def _filtered(options: argparse.Namespace, index: Any, model: Any, classes: Any) -> Any:
    """The index with those regions alone that the options let count."""
    from densevl.tasks.search.filters import in_folder, of_class, of_images, scoring

    if options.image is not None:
        index = of_images(index, options.image)
    if options.folder is not None:
        index = in_folder(index, options.folder)
    if options.min_score is not None:
        index = scoring(index, options.min_score)
    if options.label is not None:
        from densevl.api.jobs.search import text_classes

        bound = None if classes is None else model.bound(classes)
        classifier: Any = bound.head("regions") if bound is not None else text_classes(model, options.among)
        index = of_class(index, classifier, classifier.vocabulary.label(options.label))
    return index


def _ranker(options: argparse.Namespace, index: Any, path: Path) -> Any:
    """The approximate ranker, where one is asked for."""
    if not options.approximate:
        return None
    from densevl.tasks.search.approximate_ranker import ApproximateRanker

    ranker = ApproximateRanker(index, options.approximate, path, anew=options.build)
    said = f"{options.approximate} finds {ranker.recall:.1%} of the 10 nearest regions"
    newer = f"; {ranker.newer} newer regions are searched exactly, until --build covers them" if ranker.newer else ""
    print(f"densevl: {said}{newer}", file=sys.stderr)
    return ranker


def _say_unfamiliar(index: Path, model: Any, example: Any, found: dict[str, Any]) -> None:
    """Say which of the images that were found, and of the example, are not of the kind that the model knows."""
    from densevl.api.jobs.familiarity import Unfamiliar, familiarity_record
    from densevl.api.jobs.kinds import read_familiarity

    unfamiliar, said = Unfamiliar(model.name), read_familiarity(index)
    for hit in (hit for hits in found.values() for hit in hits):
        unfamiliar.note(_relative(hit.image.path), said.get(hit.image.path))
    if example is not None and model.known is not None:
        unfamiliar.note(str(example.path), familiarity_record(model.known, model.familiarity(example.image)))
    unfamiliar.report()


def _check(options: argparse.Namespace, classes: Any) -> None:
    """Say what cannot be meant."""
    options.queries = options.queries or []
    if options.build and not options.approximate:
        raise UsageError("--build makes the file of an approximate search; name its kind, such as --approximate ivf-pq")
    if options.approximate:
        from densevl.tasks.search.approximate_ranker import check_kind

        check_kind(options.approximate)
    if options.like is None and not options.queries and not options.build:
        raise UsageError("there is nothing to search for; write what, such as 'a striped sponge', or give --like IMAGE")
    if options.like is not None and options.queries:
        raise UsageError(f"search by words or by an example; got both {options.queries[0]!r} and --like {options.like}")
    if options.box is not None and options.like is None:
        raise UsageError("--box is the region of an example; give its image with --like")
    _check_class(options, classes)
    if options.labels is not None and options.like is None:
        raise UsageError("--labels says what an example is; give its image with --like")
    if any(not query.strip() for query in options.queries):
        raise UsageError("a query is empty; write what to search for, such as 'a striped sponge'")
    if options.compose and (options.like is not None or options.approximate or options.classes):
        raise UsageError("--compose asks for things by words alone; give words, and no --faiss or --classes")
    if not 0 <= options.overlap <= 1:
        raise UsageError(f"overlap is an IoU between 0 and 1; got {options.overlap}")


def _check_class(options: argparse.Namespace, classes: Any) -> None:
    """Say which class cannot be meant, and read those of --among."""
    if options.among is not None and (classes is not None or options.label is None):
        raise UsageError("--among is the list that --class NAME is one of; give both, and no --classes")
    if options.label is None:
        return
    if options.among is None and classes is None:
        raise UsageError(
            f"a region is {options.label!r} rather than something else: say what else there is with --among "
            "'cat, dog, car', or give taught classes with --classes"
        )
    if options.among is not None:
        from densevl.core.vocabulary import Vocabulary

        words = options.among
        options.among = Vocabulary.load(words) if Path(words).is_file() else Vocabulary.parse(words)
        if len(options.among) < 2:
            raise UsageError(f"--among needs two classes or more; got {words!r}")
        if options.among.label(options.label) is None:
            names = options.among.queries
            raise UsageError(f"class {options.label!r} is none of --among; {suggestion(options.label, names)}")
    elif classes.label(options.label) is None:
        raise UsageError(f"class {options.label!r} was not taught; {suggestion(options.label, classes.names)}")


def _opened(options: argparse.Namespace) -> Any:
    """The index that was named, and the model that made it unless the options name another."""
    from densevl.tasks.search import RegionIndex

    if options.unknown is not None:
        raise UsageError("which images of an index are unknown is said when it is made: densevl embed … --unknown")
    index = RegionIndex.open(options.index)
    made_with = index.model.get("changes", index.model)  # earlier indexes have the two that there were by themselves
    every = options.model is None and "changes" in index.model
    changes = {
        name: made_with[name] for name in (made_with if every else ("embedder", "mask_maker")) if name in made_with
    }
    if options.model is None:
        options.model = index.model.get("name")
        options.weights = options.weights or index.model.get("weights")
    options.changes = {**changes, **options.changes}
    return Path(options.index), index, load_model(options, lazy=True), None


def _embedded(options: argparse.Namespace) -> Any:
    """The index of images that were named, kept where it is found the next time."""
    from densevl.tasks.search import RegionIndex, is_index
    from densevl.weights import cache_dir

    try:
        inputs = named_inputs(options, [options.index], options.kept)
    except UsageError as error:
        if "://" not in options.index:
            raise
        raise UsageError(f"{error}; an index in a bucket is copied here before it is searched") from None
    out = options.kept or cache_dir() / "indexes" / _kept_name(options)
    run, model, _ = embed(options, inputs, out, options.words, replace=options.kept is None)
    if not is_index(out):
        name, reason = run.failures[0]
        raise ImageError(f"none of the {len(inputs)} images could be embedded; the first one, {name}: {reason}")
    return out, RegionIndex.open(out).only([item.place for item in inputs]), model, run


def _kept_name(options: argparse.Namespace) -> str:
    """The name of the index of a folder, by everything that decides what is in it."""
    place = Path(options.index).absolute()
    if options.classes is not None:
        take_model_of(options)
    decides = [str(place), options.model, options.regions, str(options.boxes), options.format, loaded_with(options)]
    return f"{place.name or 'images'}-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]}"


def _show(options: argparse.Namespace, job: Any, found: dict[str, Any]) -> None:
    from densevl.api.jobs.pages import write_search_page
    from densevl.api.jobs.search import hit_records, sheet_name

    answers = []
    for query, hits in found.items():
        sheet = None if options.no_sheet else options.out / sheet_name(query)
        missing = [] if sheet is None else job.write_sheet(sheet, query, hits)
        if missing:
            print(f"densevl: {len(missing)} images are missing or have changed: {missing[0]}{_MOVED}", file=sys.stderr)
        answers.append({"query": query, "hits": hit_records(hits), "sheet": None if sheet is None else str(sheet)})
        if options.labels is not None:
            answers[-1]["answer"] = options.answer
        if options.json:
            continue
        print(query if hits else f"{query}: nothing found")
        if options.labels is not None:
            shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in options.answer["shares"].items())
            print(f"  of its {len(options.answer['neighbours'])} nearest neighbours with a name: {shares}")
        for rank, hit in enumerate(hits, 1):
            box = ", ".join(f"{value:.0f}" for value in hit.box)
            print(f"{rank:4}  {hit.score:6.3f}  {_relative(hit.image.path)} ({box})")
        if sheet is not None:
            print(sheet)
    if options.html:
        page = write_search_page(options.out, found, job.note)
        print(page, file=sys.stderr if options.json else sys.stdout)
    if options.json:
        ranked = {"compose": True} if options.compose else {}
        print(json.dumps({"model_id": job.index.model_id, **ranked, "queries": answers}, ensure_ascii=False, indent=1))


def _relative(path: str) -> str:
    """A path as people would write it here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
