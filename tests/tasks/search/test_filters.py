"""Filters of the regions that count, beside brute force, with every ranker."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings, TextVectors
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.vocabulary import Vocabulary
from densevl.tasks.search import RegionIndex, search
from densevl.tasks.search.files import next_part, write_part
from densevl.tasks.search.filters import in_folder, of_class, of_images, scoring

NAMES = [
    f"/photos/day{day}/{side}_{number}.jpg" for day in (1, 12) for side in ("left", "right") for number in range(3)
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Twelve images of 50 regions, in two parts of different stores."""
    draw, folder = torch.Generator().manual_seed(0), tmp_path_factory.mktemp("filters") / "index"
    boxes = torch.tensor([[0.0, 0, 9, 9]]).expand(50, 4)
    for names, store in ((NAMES[:7], "float32"), (NAMES[7:], "int8")):
        regions = [Regions(boxes, (9, 9)).with_scores(torch.rand(50, generator=draw)) for _ in names]
        vectors = [F.normalize(torch.randn(50, 16, generator=draw), dim=1) for _ in names]
        made = RegionIndex.of(names, regions, [RegionEmbeddings(one, "m") for one in vectors])
        write_part(made.parts[0], next_part(folder, "safetensors"), store)
    return RegionIndex.open(folder)


def asked(count=3):
    vectors = F.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    return TextVectors(vectors, ("",) * count, "m")


def brute(index, counts, query, top=15):
    """Every region looked at by itself."""
    hits = [index.hit(row, 0.0) for row in range(len(index.live))]
    vectors = torch.cat([part.vectors[0 : len(part)] for part in index.parts])
    cosines = (vectors.double() @ query.double()).tolist()
    return sorted((hit.row for hit in hits if counts(hit)), key=lambda row: -cosines[row])[:top]


FILTERS = {
    "name": (lambda index: of_images(index, "left_*"), lambda hit: "left_" in hit.image.path),
    "path": (lambda index: of_images(index, "/photos/day1*/*_2.jpg"), lambda hit: hit.image.path.endswith("_2.jpg")),
    "folder": (lambda index: in_folder(index, "/photos/day1"), lambda hit: "/day1/" in hit.image.path),
    "score": (lambda index: scoring(index, 0.97), lambda hit: hit.proposal >= 0.97),
    "both": (
        lambda index: scoring(in_folder(index, "/photos/day12/"), 0.5),
        lambda hit: "/day12/" in hit.image.path and hit.proposal >= 0.5,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_the_exact_search_finds_what_brute_force_finds(index, name):
    chosen, counts = FILTERS[name]
    for query, hits in zip(asked().vectors, search(chosen(index), asked(), 15, overlap=None), strict=True):
        assert [hit.row for hit in hits] == brute(index, counts, query)


@pytest.mark.parametrize("kind", ["ivf", "ivf-pq", "hnsw", "flat", "usearch-i8"])
def test_an_approximate_search_misses_nothing_that_few_regions_are(index, kind, monkeypatch):
    """As if the index were large: candidates that the filter leaves too few of are searched exactly."""
    pytest.importorskip("faiss")
    pytest.importorskip("usearch")
    from densevl.tasks.search import approximate_ranker

    monkeypatch.setattr(approximate_ranker, "FEW", 0)
    monkeypatch.setattr(approximate_ranker, "SHARE", 1e-9)
    one = next(hit for hit in map(index.hit, range(600), [0.0] * 600) if hit.proposal > 0.99)
    best = one.proposal
    for some, counts in (FILTERS["score"], (lambda i: scoring(i, best), lambda hit: hit.proposal >= best)):
        ranker = approximate_ranker.ApproximateRanker(some(index), kind)
        for query, hits in zip(asked().vectors, search(some(index), asked(), 15, None, None, ranker), strict=True):
            assert [hit.row for hit in hits] == brute(index, counts, query)


def test_a_class_among_others_is_what_brute_force_takes_a_region_for(index):
    """Three classes of two names each; a region is of the class whose nearest name is nearest."""
    draw = torch.Generator().manual_seed(2)
    names = F.normalize(torch.randn(6, 16, generator=draw), dim=1)
    vocabulary, owners = Vocabulary.parse("cat|puss, dog|puppy, car|van"), torch.arange(6) // 2
    classifier = TextClassifier(TextEmbeddings(names, owners, vocabulary, "m", ""))
    vectors = torch.cat([part.vectors[0 : len(part)] for part in index.parts]).double()
    labels = (vectors @ names.double().mT).argmax(1) // 2
    counts = []
    for label in range(3):
        some = of_class(index, classifier, label)
        counts.append(len(some))
        for query, hits in zip(asked().vectors, search(some, asked(), 15, overlap=None), strict=True):
            assert [hit.row for hit in hits] == brute(index, lambda hit, label=label: labels[hit.row] == label, query)
        both = of_class(in_folder(index, "/photos/day1"), classifier, label)
        rows = some.live.nonzero().flatten().tolist()
        assert len(both) == sum("/day1/" in index.hit(row, 0.0).image.path for row in rows)
    assert sum(counts) == 600
    assert min(counts) > 50


def test_a_folder_may_be_one_of_a_bucket(index):
    """A URL keeps its slashes."""
    parts = [
        replace(part, images=[replace(image, path=f"s3:/{image.path}") for image in part.images])
        for part in index.parts
    ]
    remote = replace(index, parts=tuple(parts))
    for folder in ("s3://photos/day1", "s3://photos/day1/"):
        found = {hit.image.path for hits in search(in_folder(remote, folder), asked(), 50) for hit in hits}
        assert found
        assert all(path.startswith("s3://photos/day1/") for path in found)


def test_a_filter_that_leaves_nothing_is_said(index, make_index):
    for call, message in (
        (lambda: of_images(index, "*.png"), "no image of the index matches '\\*.png'"),
        (lambda: in_folder(index, "/photos/day2"), "has no image in the folder /photos/day2"),
        (lambda: scoring(index, 1.5), "scores 1.5 or more; the best one has 1"),
        (lambda: scoring(make_index(counts=(2, 0, 4))[0], 0.5), "no region of this index has a score"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
