"""Stores of vectors: what they cost, how they are kept in files, and that a search of them is exact."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from densevl.core.errors import UsageError
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search import RegionIndex, exact_rows
from densevl.tasks.search.files import next_part, write_part
from densevl.tasks.search.stores import STORES, Stored, encoded, store_of

FORMATS = ("safetensors", "parquet")


def units(count, dim, seed):
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def index_of(count=300, dim=32, seed=0, name="a.png"):
    boxes = Regions(torch.tensor([[0.0, 0, 9, 9]]).expand(count, 4), (9, 9))
    return RegionIndex.of([name], [boxes], [RegionEmbeddings(units(count, dim, seed), "m")])


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("dim", [8, 512])
def test_a_decoded_vector_lies_within_the_bound(store, dim):
    vectors = torch.cat([units(500, dim, 1), torch.eye(dim), units(1, dim, 2).abs() ** 9])
    vectors = F.normalize(vectors, dim=1)
    values, scales = encoded(vectors, store)
    moved = (Stored(values, scales)[0 : len(vectors)] - vectors).norm(dim=1)
    bounds = {
        "float32": torch.zeros(len(vectors)),
        "float16": torch.full((len(vectors),), 2**-11),
        "int8": 2 * dim**0.5 * vectors.abs().amax(1) / 254,
    }
    assert (moved <= bounds[store] + 1e-6 * (store != "float32")).all()
    assert Stored(values, scales)[0 : len(vectors)].norm(dim=1) == pytest.approx(1, abs=1e-3)
    assert values.dtype == STORES[store]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("asked", [2, 30])
def test_a_search_of_every_store_is_exact(tmp_path, form, store, asked):
    """The oracle decodes everything and sorts it in double precision; blocks and chosen rows change nothing."""
    index_of().save(tmp_path / f"index.{form}", store)
    index = RegionIndex.open(tmp_path / f"index.{form}")
    assert store_of(index.parts[0].vectors) == store
    queries = torch.cat([units(asked - 1, 32, 9), index.vectors[7:8]])
    few = torch.rand(300, generator=torch.Generator().manual_seed(3)) > 0.9
    for chosen in (torch.ones(300, dtype=torch.bool), few, ~few):
        some = RegionIndex(index.parts, chosen)
        cosines = np.where(chosen, queries.double().numpy() @ index.vectors.double().numpy().T, -9)
        for block in (64,):
            for one, (scores, rows) in zip(cosines, exact_rows(some, queries, 12, block), strict=True):
                expected = np.argsort(-one, kind="stable")[:12]
                np.testing.assert_allclose(scores.numpy(), one[expected], atol=1e-6)
                np.testing.assert_allclose(one[rows.numpy()], one[expected], atol=1e-6)


@pytest.mark.parametrize("store", STORES)
def test_equal_vectors_score_the_same_wherever_they_lie_and_however_many_queries_there_are(store):
    """Hundreds of copies of a few vectors: ranks are those of the rows, whatever arithmetic a block took."""
    vectors = units(7, 96, 0).repeat(60, 1)
    boxes = Regions(torch.tensor([[0.0, 0, 9, 9]]).expand(len(vectors), 4), (9, 9))
    made = RegionIndex.of(["a.png"], [boxes], [RegionEmbeddings(vectors, "m")]).parts[0].kept_as(store)
    index, queries = RegionIndex((made,)), units(9, 96, 4)
    together = exact_rows(index, queries, 100, block=33)
    for place, query in enumerate(queries):
        alone = exact_rows(index, query[None], 100, block=50)[0]
        for one, other in zip(alone, together[place], strict=True):
            assert torch.equal(one, other)
        first = alone[1][:60]
        assert first.tolist() == list(range(int(first[0]), 420, 7))
        assert len(set(alone[0][:60].tolist())) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_parts_of_several_stores_are_one_index(tmp_path, form):
    made = [index_of(50, seed=seed, name=f"{seed}.png").parts[0] for seed in range(3)]
    for part, store in zip(made, STORES, strict=True):
        write_part(part, next_part(tmp_path / "index", form), store)
    index = RegionIndex.open(tmp_path / "index")
    assert [store_of(part.vectors) for part in index.parts] == list(STORES)
    query = made[2].vectors[4:5]
    assert exact_rows(index, query, 1)[0][1].tolist() == [104]
    whole = torch.cat([part.vectors[0:50] for part in index.parts])
    assert torch.equal(index.vectors, whole)
    expected = (whole @ units(1, 32, 8)[0]).argsort(descending=True)[:9]
    assert exact_rows(index, units(1, 32, 8), 9)[0][1].tolist() == expected.tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_says_its_store_and_one_of_float32_is_as_it_always_was(tmp_path, form):
    pq = pytest.importorskip("pyarrow.parquet")

    def texts(path):
        if form == "safetensors":
            with safe_open(path, "pt") as file:
                return file.metadata()
        return {name.decode(): text.decode() for name, text in pq.read_schema(path).metadata.items()}

    index, sizes = index_of(2000, 128), {}
    for store in STORES:
        path = tmp_path / f"{store}.{form}"
        index.save(path, store)
        sizes[store], said = path.stat().st_size, texts(path)
        assert said["format"] == ("densevl region index 1" if store == "float32" else "densevl region index 2")
        assert said.get("store", "float32") == store
        index.save(tmp_path / f"again.{form}", store)
        assert (tmp_path / f"again.{form}").read_bytes() == path.read_bytes()
    assert sizes["float16"] < 0.7 * sizes["float32"]
    assert sizes["int8"] < 0.8 * sizes["float16"]


@pytest.mark.parametrize("form", FORMATS)
def test_codes_that_are_stored_again_stay_what_they_are(tmp_path, form):
    index_of().save(tmp_path / f"one.{form}", "int8")
    one = RegionIndex.open(tmp_path / f"one.{form}")
    one.save(tmp_path / f"two.{form}", "int8")
    two = RegionIndex.open(tmp_path / f"two.{form}")
    assert torch.equal(one.vectors, two.vectors)
    assert one.parts[0].digest == two.parts[0].digest == two.parts[0].compute_digest()


def test_what_does_not_fit_its_header_is_damaged(tmp_path):
    path = tmp_path / "index.safetensors"
    index_of().save(path, "int8")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"store":"int8"', b'"store":"none"'))
    with pytest.raises(UsageError, match=r"is damaged .* where its header says .none."):
        RegionIndex.open(path)
    scales = RegionIndex.open(_written(path, content)).parts[0].vectors.scales
    damaged = content.replace(scales[:4].numpy().tobytes(), b"\xff" * 16)
    with pytest.raises(UsageError, match="a scale that is not positive"):
        RegionIndex.open(_written(path, damaged))
    path.write_bytes(content.replace(b"densevl region index 2", b"densevl region index 3"))
    with pytest.raises(UsageError, match="is no region index"):
        RegionIndex.open(path)


def _written(path, content):
    path.write_bytes(content)
    return path


def test_a_store_that_there_is_not():
    with pytest.raises(UsageError, match="store 'int4' is unknown"):
        index_of().parts[0].kept_as("int4")
