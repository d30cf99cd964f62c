"""Indexes in memory and in files."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.masks import decode_masks
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search import RegionIndex, is_index
from densevl.tasks.search.files import next_part, part_files, write_part

FORMATS = ("safetensors", "parquet")


def queries(dim=8, model_id="m@1", seed=9):
    vectors = F.normalize(torch.randn(2, dim, generator=torch.Generator().manual_seed(seed)), dim=1)
    return TextVectors(vectors, ("one", "two"), model_id)


def test_hits_are_the_regions_with_the_largest_cosines(make_index):
    index, regions, embeddings = make_index()
    boxes = torch.cat([found.boxes for found in regions])
    asked = queries()
    for vector, hits in zip(asked.vectors, index.search(asked, top=20, overlap=None), strict=True):
        cosines = torch.cat([found.vectors for found in embeddings]) @ vector
        assert [hit.row for hit in hits] == cosines.argsort(descending=True).tolist()
        for hit in hits:
            assert hit.score == pytest.approx(float(cosines[hit.row]), abs=1e-6)
            assert hit.box == tuple(boxes[hit.row].tolist())
            assert hit.image.path == ("a.png" if hit.row < 5 else "c.png")


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_holds_everything(make_index, tmp_path, form):
    index, regions, _ = make_index()
    index.save(tmp_path / f"index.{form}")
    opened = RegionIndex.open(tmp_path / f"index.{form}")
    assert (opened.model_id, opened.model, opened.dim) == ("m@1", {"name": "toy"}, 8)
    assert opened.images == index.images
    assert list(opened.images) == ["a.png", "b.png", "c.png"]
    assert torch.equal(opened.vectors, index.vectors)
    assert opened.search(queries()) == index.search(queries())
    whole = [opened.hit(row, 0.0) for row in range(5)]
    assert torch.equal(decode_masks([{"size": [40, 50], "counts": h.mask} for h in whole], (40, 50)), regions[0].masks)
    assert [hit.proposal for hit in whole] == regions[0].scores.tolist()


def test_parquet_speaks_to_other_programs(make_index, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    index, regions, _ = make_index()
    index.save(tmp_path / "index.parquet")
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert len(rows) == 14
    assert (rows[5]["image"], rows[5]["height"], rows[5]["width"]) == ("c.png", 40, 50)
    assert [rows[5][side] for side in ("x0", "y0", "x1", "y1")] == regions[2].boxes[0].tolist()
    assert rows[5]["vector"] == index.vectors[5].tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_parts_are_one_index_and_the_last_part_of_an_image_counts(make_index, tmp_path, form):
    one, _, first = make_index(seed=1, names=("a", "b", "c"))
    two, _, second = make_index(seed=2, names=("c", "d", "e"), counts=(2, 3, 1))
    for index in (one, two):
        write_part(index.parts[0], next_part(tmp_path / "index", form))
    opened = RegionIndex.open(tmp_path / "index")
    assert [path.name for path in part_files(tmp_path / "index")] == [f"part-0000{i}.{form}" for i in (0, 1)]
    assert len(opened) == 5 + 2 + 3 + 1
    assert list(opened.images) == ["a", "b", "c", "d", "e"]
    kept = torch.cat([first[0].vectors, *(found.vectors for found in second)])
    assert torch.equal(opened.vectors, kept)
    hits = opened.search(queries(), top=50, overlap=None)[0]
    assert [hit.score for hit in hits] == pytest.approx((kept @ queries().vectors[0]).sort(descending=True).values)
    merged = RegionIndex((opened.merged(),))
    assert [(h.image.path, h.box, h.mask) for h in merged.search(queries(), top=50)[1]] == [
        (h.image.path, h.box, h.mask) for h in opened.search(queries(), top=50)[1]
    ]


def test_only_some_images(make_index):
    index, _, embeddings = make_index()
    some = index.only(["c.png", "nowhere.png"])
    assert len(some) == 9
    assert torch.equal(some.vectors, embeddings[2].vectors)
    assert {hit.image.path for hit in some.search(queries(), top=50)[0]} == {"c.png"}


def test_no_region_at_all(make_index, tmp_path):
    index, _, _ = make_index(counts=(0, 0, 0))
    for form in FORMATS:
        index.save(tmp_path / f"index.{form}")
        opened = RegionIndex.open(tmp_path / f"index.{form}")
        assert len(opened) == 0
        assert opened.search(queries()) == [[], []]


def test_another_model_is_refused_by_both_names(make_index):
    index, _, _ = make_index()
    with pytest.raises(UsageError, match=r"index was made by 'm@1' and the query by 'other@2'"):
        index.search(queries(model_id="other@2"))
    other, _, _ = make_index(model_id="other@2")
    with pytest.raises(UsageError, match=r"made by 'm@1' .* and by 'other@2'"):
        RegionIndex(index.parts + other.parts)


@pytest.mark.parametrize(
    ("vector", "message"), [([torch.nan, 1.0], "is not finite"), ([3.0, 4.0], "is no unit vector")]
)
def test_bad_vectors_are_refused(vector, message):
    with pytest.raises(UsageError, match=rf"a\.png: the vector of region 0 {message}"):
        RegionIndex.of(["a.png"], [Regions.whole((4, 5))], [RegionEmbeddings(torch.tensor([vector]), "m")])


def test_regions_and_vectors_must_agree():
    one = RegionEmbeddings(torch.eye(2), "m")
    with pytest.raises(UsageError, match="expected one vector for each of 1 regions"):
        RegionIndex.of(["a.png"], [Regions.whole((4, 5))], [one])
    with pytest.raises(UsageError, match="vectors of one model"):
        RegionIndex.of(["a"] * 2, [Regions.whole((4, 5))] * 2, [one[:1], RegionEmbeddings(torch.eye(2)[:1], "n")])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kept", [0, 7, 200, -60])
def test_a_file_that_is_cut_off_is_one_clear_error(make_index, tmp_path, form, kept):
    index, _, _ = make_index()
    path = tmp_path / f"index.{form}"
    index.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UsageError, match=rf"index\.{form} is damaged or cut off"):
        RegionIndex.open(path)


def test_other_files_are_no_index(make_index, tmp_path):
    from safetensors.torch import save_file

    save_file({"vectors": torch.eye(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match="is no region index"):
        RegionIndex.open(tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match="there is no index"):
        RegionIndex.open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no index"):
        RegionIndex.open(tmp_path)
    assert not is_index(tmp_path)
    index, _, _ = make_index()
    with pytest.raises(UsageError, match=r"written as \.safetensors or \.parquet"):
        index.save(tmp_path / "index.json")


def test_a_vector_that_went_bad_on_disk_is_found_when_it_is_searched(make_index, tmp_path):
    index, _, _ = make_index()
    index.save(tmp_path / "index.safetensors")
    content = (tmp_path / "index.safetensors").read_bytes()
    good = index.vectors[3].numpy().tobytes()
    assert content.count(good) == 1
    (tmp_path / "index.safetensors").write_bytes(content.replace(good, b"\xff" * len(good)))
    with pytest.raises(UsageError, match="not finite: it is damaged"):
        RegionIndex.open(tmp_path / "index.safetensors").search(queries())


def test_an_image_is_found_by_its_path_as_the_last_part_has_it(make_index):
    first, second = make_index(counts=(2, 0, 4))[0], make_index(names=("b.png", "d.png"), counts=(1, 3))[0]
    index = RegionIndex((*first.parts, *second.parts))
    for path, image in index.images.items():
        found = index.image_of(path)
        assert found is not None
        assert found[0] == image
        assert found[1] is [part for part in index.parts if path in [one.path for one in part.images]][-1]
    assert index.image_of("/none.png") is None
