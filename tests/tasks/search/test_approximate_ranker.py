"""Approximate search beside the exact one."""

import json
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search import RegionIndex, search
from densevl.tasks.search.files import next_part, write_part

pytest.importorskip("faiss")
pytest.importorskip("usearch")
from densevl.tasks.search.approximate_ranker import ApproximateRanker
from densevl.tasks.search.neighbour_indexes import KINDS


@pytest.fixture(scope="module")
def large(make_index):
    return make_index(counts=(700, 1, 500), dim=16)[0]


@pytest.fixture(scope="module")
def asked():
    vectors = F.normalize(torch.randn(20, 16, generator=torch.Generator().manual_seed(5)), dim=1)
    return TextVectors(vectors, tuple(map(str, range(20))), "m@1")


def test_flat_agrees_with_the_exact_search(large, asked):
    for index in (large, large.only(["a.png", "b.png"])):
        exact, flat = search(index, asked), search(index, asked, ranker=ApproximateRanker(index))
        assert [[hit.row for hit in hits] for hits in flat] == [[hit.row for hit in hits] for hits in exact]
        for one, other in zip(flat, exact, strict=True):
            assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-6)
    assert ApproximateRanker(large).recall == 1


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "ivf-pq", "usearch-f16", "usearch-i8"])
def test_the_recall_that_is_stated_is_what_is_found(large, asked, kind):
    ranker = ApproximateRanker(large, kind)
    assert 0.6 < ranker.recall <= 1
    exact, near = (search(large, asked, 10, overlap=None, ranker=one) for one in (None, ranker))
    found = sum(len({h.row for h in one} & {h.row for h in other}) for one, other in zip(exact, near, strict=True))
    assert found / 200 > 0.5
    for hits in near:
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_kept_and_made_anew_where_it_does_not_belong(make_index, tmp_path, asked, kind):
    index = make_index(counts=(300, 0, 201), dim=16)[0]
    index.save(tmp_path / "index.safetensors")
    path = tmp_path / "index.safetensors"
    opened = RegionIndex.open(path)
    first, again = ApproximateRanker(opened, kind, path), ApproximateRanker(opened, kind, path)
    assert (first.built, again.built) == (True, False)
    assert first.recall == again.recall
    assert search(opened, asked, ranker=first) == search(opened, asked, ranker=again)

    (kept,) = tmp_path.glob(f"*{kind}.index")
    kept.write_bytes(kept.read_bytes()[:-9])
    assert ApproximateRanker(opened, kind, path).built, "it was cut off"
    note = kept.with_name(f"{kept.name}.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "vectors": "0"}))
    assert ApproximateRanker(opened, kind, path).built, "it is of other vectors"
    assert not ApproximateRanker(opened, kind, path).built
    other = make_index(seed=3, counts=(300, 0, 201), dim=16)[0]
    other.save(path)
    assert ApproximateRanker(RegionIndex.open(path), kind, path).built, "the index has changed"


def test_bad_use_is_named(make_index, large):
    with pytest.raises(UsageError, match="did you mean hnsw"):
        ApproximateRanker(large, "hnws")
    with pytest.raises(UsageError, match="nothing to search"):
        ApproximateRanker(make_index(counts=(0, 0, 0))[0])


def append(folder, seed, count, name):
    draw = torch.Generator().manual_seed(seed)
    boxes = Regions(torch.tensor([[0.0, 0, 9, 9]]).expand(count, 4), (9, 9))
    vectors = F.normalize(torch.randn(count, 16, generator=draw), dim=1)
    made = RegionIndex.of([name], [boxes], [RegionEmbeddings(vectors, "m@1")])
    write_part(made.parts[0], next_part(folder, "safetensors"), "int8")


@pytest.mark.parametrize("kind", ["ivf-pq", "usearch-i8"])
def test_what_was_appended_or_embedded_anew_is_searched_exactly(tmp_path, asked, kind):
    folder = tmp_path / "index"
    append(folder, 0, 500, "a.png")
    append(folder, 1, 300, "b.png")
    assert ApproximateRanker(RegionIndex.open(folder), kind, folder).newer == 0
    append(folder, 2, 200, "c.png")
    append(folder, 3, 100, "b.png")
    index = RegionIndex.open(folder)
    ranker = ApproximateRanker(index, kind, folder)
    assert (ranker.built, ranker.newer, len(index)) == (False, 300, 800)
    hits = search(index, asked, 10, overlap=None, ranker=ranker)
    exact = search(index, asked, 10, overlap=None)
    for own, right in zip(hits, exact, strict=True):
        rows = {hit.row for hit in own}
        assert rows.isdisjoint(range(500, 800)), "b.png is no more what it was"
        assert {hit.row for hit in right if hit.row >= 800} <= rows
    assert ApproximateRanker(index, kind, folder, anew=True).newer == 0
    for seed in range(4, 8):
        append(folder, seed, 700, f"{seed}.png")
    assert ApproximateRanker(RegionIndex.open(folder), kind, folder).built, "less than half is covered"


def test_codes_tell_near_regions_from_nearer_ones():
    """Codes that were wrong had a tenth of the nearest ten among a hundred candidates."""
    draw = torch.Generator().manual_seed(0)
    large = torch.arange(1, 65) ** -0.5
    centres = torch.randn(60, 64, generator=draw) * large
    regions = F.normalize(1 + centres.repeat(100, 1) + 0.8 * torch.randn(6000, 64, generator=draw) * large, dim=1)
    queries = F.normalize(1 + centres + 0.8 * torch.randn(60, 64, generator=draw) * large, dim=1)
    found = KINDS["ivf-pq"].build(6000, 64, lambda count: regions[:count], regions.split(2500)).search(queries, 100)
    nearest = (queries @ regions.mT).topk(10).indices
    assert (nearest[:, :, None] == found[:, None]).any(-1).float().mean() > 0.9


def test_a_refreshed_index_is_searched_by_the_same_neighbours(tmp_path, asked):
    folder = tmp_path / "index"
    append(folder, 0, 500, "a.png")
    first = RegionIndex.open(folder)
    ranker = ApproximateRanker(first, "ivf-pq", folder)
    append(folder, 1, 200, "b.png")
    index = first.refreshed()
    newer = ranker.on(index)
    assert (ranker.newer, newer.newer) == (0, 200)
    hits, exact = (search(index, asked, 10, overlap=None, ranker=one) for one in (newer, None))
    for own, right in zip(hits, exact, strict=True):
        assert {hit.row for hit in right if hit.row >= 500} <= {hit.row for hit in own}
    assert all(hit.row < 500 for own in search(first, asked, 10, overlap=None, ranker=ranker) for hit in own)


WRITER = """
import sys
from pathlib import Path
import torch
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search import RegionIndex
from densevl.tasks.search.files import write_part
folder, boxes = Path(sys.argv[1]), Regions(torch.tensor([[0.0, 0, 9, 9]]).expand(40, 4), (9, 9))
for number in range(1, 9):
    vectors = torch.nn.functional.one_hot(torch.full((40,), number), 16).float()
    made = RegionIndex.of([f"{number % 7}.png"], [boxes], [RegionEmbeddings(vectors, "m@1")])
    write_part(made.parts[0], folder / f"part-{number:05}.safetensors")
"""


def test_a_reader_refreshes_while_another_process_appends(tmp_path, asked):
    """Images 1 to 7, of which the eighth part has the first one again, are each there once, whole, and soon."""
    folder = tmp_path / "index"
    append(folder, 0, 500, "a.png")
    first = index = RegionIndex.open(folder)
    ranker = ApproximateRanker(first, "ivf-pq", folder)
    before, sizes = search(first, asked, overlap=None), []
    axes = TextVectors(torch.eye(16)[1:9], tuple("12345678"), "m@1")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)]) as writer:
        while len(index.parts) < 9:
            assert writer.poll() in (None, 0)
            opened, index = index.parts, index.refreshed()
            time.sleep(0.1)
            if index.parts == opened:
                continue
            assert index.parts[: len(opened)] == opened, "what is open is not opened again"
            sizes.append(len(index))
            assert len(index) == 500 + 40 * min(len(index.parts) - 1, 7)
            for rank in (None, ranker.on(index)):
                found = search(index, axes, 40, overlap=None, ranker=rank)
                for number, hits in enumerate(found, 1):
                    rows = {hit.row for hit in hits if hit.score > 0.99}
                    there = number < len(index.parts) and not (number == 1 and len(index.parts) == 9)
                    start = 500 + 40 * (number - 1)
                    assert rows == (set(range(start, start + 40)) if there else set())
    assert sizes == sorted(sizes)
    assert index.refreshed() is index
    assert search(first, asked, overlap=None) == before, "an index that is open stays what it was"


def test_what_cannot_be_refreshed_is_said(make_index, tmp_path):
    made = make_index()[0]
    made.save(tmp_path / "index.safetensors")
    opened = RegionIndex.open(tmp_path / "index.safetensors")
    for index in (made, opened.only(["a.png"])):
        with pytest.raises(UsageError, match="refresh that, and filter what comes"):
            index.refreshed()
    make_index(seed=2, counts=(5, 0, 3))[0].save(tmp_path / "index.safetensors")
    assert len(opened.refreshed()) == 8, "a file that took the place of another is opened"
    assert len(opened) == 14
    (tmp_path / "index.safetensors").unlink()
    with pytest.raises(UsageError, match="there is no index"):
        opened.refreshed()
