"""Exact search, its chunks, and which hits are left out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search import IndexedImage, Part, RegionIndex, exact_rows
from densevl.tasks.search.scan import best_rows


def whole_numbers(rows, seed, parts=1):
    """An index of whole numbers, so that every cosine is exact and many are equal."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for place in range(parts):
        vectors = torch.randint(-2, 3, (rows, 3), generator=draw).float()
        image = IndexedImage(f"{place}.png", (9, 9))
        boxes = torch.tensor([[0.0, 0, 9, 9]]).expand(rows, 4)
        made.append(Part((image,), torch.zeros(rows, dtype=torch.long), boxes, torch.zeros(rows), vectors, "m"))
    return RegionIndex(tuple(made))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 40), parts=st.integers(1, 3), chunk=st.integers(1, 50), most=st.integers(1, 60), data=st.data()
)
def test_chunks_answer_as_the_whole(rows, parts, chunk, most, data):
    index = whole_numbers(rows, data.draw(st.integers(0, 99)), parts)
    total = rows * parts
    chosen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)), dtype=torch.bool)
    index = RegionIndex(index.parts, chosen)
    queries = torch.tensor([[1.0, -1, 2], [0, 0, 1]])
    vectors = torch.cat([part.vectors[:] for part in index.parts])
    for query, (scores, found) in zip(queries, exact_rows(index, queries, most, chunk), strict=True):
        cosines = (vectors @ query).tolist()
        expected = sorted((row for row in range(total) if chosen[row]), key=lambda row: (-cosines[row], row))[:most]
        assert found.tolist() == expected
        assert scores.tolist() == [cosines[row] for row in expected]


def test_equal_scores_keep_the_order_of_the_rows():
    scores, rows = best_rows(torch.tensor([1.0, 3, 3, 1, 3]), torch.tensor([9, 4, 2, 0, 7]), 4)
    assert (scores.tolist(), rows.tolist()) == ([3, 3, 3, 1], [2, 4, 7, 0])


def crowded(boxes_by_image):
    """One region a box; each scores less than the one before it."""
    regions = [Regions.from_boxes(boxes, (100, 100)) for boxes in boxes_by_image]
    count = sum(map(len, regions))
    angles = torch.linspace(0, 1.5, count)
    vectors = torch.stack([angles.cos(), angles.sin()], 1).split([len(found) for found in regions])
    names = [f"{i}.png" for i in range(len(regions))]
    return RegionIndex.of(names, regions, [RegionEmbeddings(part, "m") for part in vectors])


ASKED = TextVectors(torch.tensor([[1.0, 0.0]]), ("x",), "m")


def test_near_equal_boxes_of_one_image_are_one_hit():
    same = [[0, 0, 50, 50], [0, 0, 50, 48], [60, 60, 90, 90], [1, 1, 50, 50]]
    index = crowded([same, same[:1]])
    assert [hit.row for hit in index.search(ASKED)[0]] == [0, 2, 4], "of another image, the same box is another region"
    assert [hit.row for hit in index.search(ASKED, overlap=None)[0]] == [0, 1, 2, 3, 4]
    assert [hit.row for hit in index.search(ASKED, per_image=1)[0]] == [0, 4]
    assert [hit.row for hit in index.search(ASKED, top=2)[0]] == [0, 2]


def test_hits_that_were_left_out_make_room():
    """Hundreds of near-equal boxes rank before the only other region."""
    index = crowded([[[0, 0, 50, 50]] * 300, [[0, 0, 9, 9]]])
    assert [hit.row for hit in index.search(ASKED, top=2)[0]] == [0, 300]
    assert [hit.row for hit in index.search(ASKED, top=3)[0]] == [0, 300], "there are no more"


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"top": 0}, "at least 1"), ({"per_image": 0}, "at least 1"), ({"overlap": 2.0}, "between 0 and 1")],
)
def test_numbers_out_of_range(settings, message):
    with pytest.raises(UsageError, match=message):
        crowded([[[0, 0, 9, 9]]]).search(ASKED, **settings)


def test_a_query_that_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="query is not finite"):
        crowded([[[0, 0, 9, 9]]]).search(TextVectors(torch.tensor([[torch.nan, 0.0]]), ("x",), "m"))
