"""Search by FAISS beside the exact one."""

import json

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.tasks.search import RegionIndex, search

pytest.importorskip("faiss")
from densevl.tasks.search.faiss_ranker import KINDS, FaissRanker


@pytest.fixture(scope="module")
def large(make_index):
    return make_index(counts=(700, 1, 500), dim=16)[0]


@pytest.fixture(scope="module")
def asked():
    vectors = F.normalize(torch.randn(20, 16, generator=torch.Generator().manual_seed(5)), dim=1)
    return TextVectors(vectors, tuple(map(str, range(20))), "m@1")


def test_flat_agrees_with_the_exact_search(large, asked):
    for index in (large, large.only(["a.png", "b.png"])):
        exact, flat = search(index, asked), search(index, asked, ranker=FaissRanker(index))
        assert [[hit.row for hit in hits] for hits in flat] == [[hit.row for hit in hits] for hits in exact]
        for one, other in zip(flat, exact, strict=True):
            assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-6)
    assert FaissRanker(large).recall == 1


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_the_recall_that_is_stated_is_what_is_found(large, asked, kind):
    ranker = FaissRanker(large, kind)
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
    first, again = FaissRanker(opened, kind, path), FaissRanker(opened, kind, path)
    assert (first.built, again.built) == (True, False)
    assert first.recall == again.recall
    assert search(opened, asked, ranker=first) == search(opened, asked, ranker=again)

    (kept,) = tmp_path.glob(f"*faiss-{kind}.index")
    kept.write_bytes(kept.read_bytes()[:-9])
    assert FaissRanker(opened, kind, path).built, "it was cut off"
    note = kept.with_name(f"{kept.name}.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "vectors": "0"}))
    assert FaissRanker(opened, kind, path).built, "it is of other vectors"
    assert not FaissRanker(opened, kind, path).built
    other = make_index(seed=3, counts=(300, 0, 201), dim=16)[0]
    other.save(path)
    assert FaissRanker(RegionIndex.open(path), kind, path).built, "the index has changed"


def test_bad_use_is_named(make_index, large):
    with pytest.raises(UsageError, match="did you mean hnsw"):
        FaissRanker(large, "hnws")
    with pytest.raises(UsageError, match="nothing to search"):
        FaissRanker(make_index(counts=(0, 0, 0))[0])
