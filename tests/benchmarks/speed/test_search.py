"""The benchmark of search: its made vectors, and one run of each step in this process."""

import math

import pytest
import torch

from densevl.benchmarks.speed.search import _built, _searched, benchmark_search, made_queries, write_made_index
from densevl.core.errors import UsageError
from densevl.tasks.search import RegionIndex


def test_an_index_is_made_searched_and_found_again(tmp_path):
    pytest.importorskip("faiss")
    write_made_index(tmp_path, 1000, "int8")
    index = RegionIndex.open(tmp_path)
    assert len(index) == 1000
    assert 0.4 < float((index.vectors @ index.vectors.T).mean()) < 0.5
    examples, texts = made_queries()
    assert (texts @ index.vectors.T).max() < (examples @ index.vectors.T).amax(1).mean()
    write_made_index(tmp_path, 1000, "int8")
    assert torch.equal(RegionIndex.open(tmp_path).vectors, index.vectors)
    assert _built(tmp_path, "ivf-pq") > 0
    assert math.isnan(_built(tmp_path, "ivf-pq")), "it was there"
    truth, found = _searched(tmp_path, "exact"), _searched(tmp_path, "ivf-pq")
    figures = found.figures(truth, 1.0)
    assert len(figures) == 10
    assert min(figures[6:8]) > 80
    assert truth.figures(truth, math.nan)[6:8] == [100, 100]
    flat = _searched(tmp_path, "faiss-flat").figures(truth, math.nan)
    assert min(flat[6:8]) > 99
    assert min(flat[8:]) > 0
    (tmp_path / "part-00007.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="holds another index"):
        write_made_index(tmp_path, 1000, "int8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regions": "many"}, "write numbers of regions"),
        ({"indices": ["hnws"]}, "did you mean hnsw"),
        ({"store": "int4"}, "store 'int4' is unknown"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, message):
    with pytest.raises(UsageError, match=message):
        benchmark_search(**arguments)
