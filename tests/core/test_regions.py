import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.core.regions import RegionEmbeddings, Regions

SIZE = (40, 60)


def regions() -> Regions:
    boxes = torch.tensor([[0.0, 0, 10, 5], [20, 10, 60, 40], [5, 5, 6, 6]])
    return Regions(boxes, SIZE, torch.rand(3, *SIZE) > 0.5, torch.tensor([0.1, 0.9, 0.5]))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (1, [1]),
        (-1, [2]),
        ([2, 0], [2, 0]),
        (slice(1, 3), [1, 2]),
        (torch.tensor([2, 2]), [2, 2]),
        (torch.tensor([True, False, True]), [0, 2]),
        ([False, True, False], [1]),
        ([], []),
    ],
)
def test_choosing_keeps_boxes_masks_and_scores_together(chosen, expected):
    whole = regions()
    found = whole[chosen]
    assert isinstance(found, Regions)
    assert torch.equal(found.boxes, whole.boxes[expected])
    assert torch.equal(found.masks, whole.masks[expected])
    assert torch.equal(found.scores, whole.scores[expected])


def test_iterating_ends():
    assert [len(one) for one in regions()] == [1, 1, 1]


def test_areas_are_of_masks_where_there_are_some():
    given_ = regions()
    assert given_.areas.tolist() == [mask.sum().item() for mask in given_.masks]
    assert given_.with_masks(None).areas.tolist() == [50, 1200, 1]
    assert given_.box_areas.tolist() == [50, 1200, 1]
    assert given_.centres[0].tolist() == [5, 2.5]


@given(
    st.lists(
        st.tuples(st.integers(0, 59), st.integers(0, 39), st.integers(1, 60), st.integers(1, 40)).filter(
            lambda b: b[0] < b[2] and b[1] < b[3]
        ),
        min_size=1,
        max_size=4,
    )
)
def test_boxes_of_painted_boxes_are_these_boxes(boxes):
    masks = np.zeros((len(boxes), *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    found = Regions.from_masks(masks)
    assert found.boxes.tolist() == [list(box) for box in boxes]
    assert torch.equal(found.areas, found.box_areas)
    assert found.size == SIZE


def test_forms_say_the_same():
    a = Regions.from_boxes([[10, 20, 30, 15]], SIZE, form="xywh")
    b = Regions.from_boxes(np.array([[10, 20, 40, 35]]), SIZE)
    assert torch.equal(a.boxes, b.boxes)
    assert a.boxes.dtype == torch.float32


def test_boxes_are_cut_at_the_border_only_where_asked():
    assert Regions.from_boxes([-5, -5, 100, 20], SIZE).boxes.tolist() == [[0, 0, 60, 20]]
    with pytest.raises(UsageError, match="reaches out"):
        Regions.from_boxes([-5, -5, 100, 20], SIZE, clip=False)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[70, 10, 90, 20]], r"outside the image.*\(1 of 1"),
        ([[10, 10, 10, 20]], "empty"),
        ([[30, 20, 10, 15]], "form='xywh'"),
        ([[0, 0, float("nan"), 5]], "not finite"),
        ([[0, 0, float("inf"), 5]], "not finite"),
        ([[0.1, 0.2, 0.5, 0.9]], "relative"),
        ([[1, 2, 3]], r"\(n, 4\)"),
        ("four", "numbers"),
    ],
)
def test_bad_boxes_are_one_clear_error(boxes, message):
    with pytest.raises(UsageError, match=message):
        Regions.from_boxes(boxes, SIZE)


def test_unknown_form_and_bad_size():
    with pytest.raises(UsageError, match="`xyxy` or `xywh`"):
        Regions.from_boxes([[0, 0, 1, 1]], SIZE, form="cxcywh")
    with pytest.raises(UsageError, match="height, width"):
        Regions.whole((0, 5))


def test_masks_of_another_size_or_empty():
    with pytest.raises(UsageError, match=r"\(3, 40, 60\)"):
        regions().with_masks(torch.ones(3, 39, 60, dtype=torch.bool))
    masks = torch.zeros(2, *SIZE)
    masks[0, 3, 4] = 1
    with pytest.raises(UsageError, match="mask 1 is empty"):
        Regions.from_masks(masks)
    assert len(regions().with_masks(torch.zeros(3, *SIZE, dtype=torch.bool))) == 3
    with pytest.raises(UsageError, match="score"):
        Regions.from_boxes([[0, 0, 5, 5]], SIZE, scores=[0.5, 0.6])


def test_none_is_allowed_and_whole_is_whole():
    assert len(Regions.from_boxes([], SIZE)) == 0
    assert len(Regions.from_masks(np.zeros((0, *SIZE), bool))) == 0
    assert Regions.whole(SIZE).areas.tolist() == [2400]
    assert regions().to("cpu").device.type == "cpu"


def test_sum_of_parts_is_the_sum_of_their_cosines():
    a, b, texts = (F.normalize(torch.randn(n, 8), dim=1) for n in (4, 4, 3))
    found = RegionEmbeddings.of_parts({"crop": a, "box": b}, "model", {"box": 0.5})
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(4))
    assert torch.allclose(found.vectors, F.normalize(a + 0.5 * b, dim=1))
    assert torch.allclose(found.cosines(texts), a @ texts.T + 0.5 * b @ texts.T, atol=1e-6)
    assert torch.allclose(found[[2]].cosines(texts), found.cosines(texts)[[2]])
    assert torch.allclose(RegionEmbeddings(a, "model").cosines(texts), a @ texts.T)
    assert len(found) == 4


def test_filled_boxes_have_the_pixels_of_their_boxes():
    boxes = Regions.from_boxes([[1, 2, 4, 3], [0, 0, 5, 4], [0.6, 0.4, 2.4, 1.6]], (4, 5))
    filled = boxes.with_filled_boxes()
    assert filled.areas.tolist() == [3, 20, 2]
    assert filled.masks[0].nonzero().tolist() == [[2, 1], [2, 2], [2, 3]]
    assert filled.masks[2].nonzero().tolist() == [[0, 1], [1, 1]]
    assert boxes[:0].with_filled_boxes().masks.shape == (0, 4, 5)
