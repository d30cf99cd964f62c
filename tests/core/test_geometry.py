import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou, nms

from densevl.core.geometry import bin_coverage, box_ious, pad_to_multiple, pairwise_ious, resized_size, suppress

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.integers(1, 2000))
def test_resized_as_mmcv_does(height, width, short_side):
    imrescale_size = pytest.importorskip("mmcv").image.geometric.rescale_size
    expected = imrescale_size((width, height), (2048, short_side))[::-1]
    if short_side <= 2048 and min(expected) > 0:
        assert resized_size((height, width), short_side, 2048) == expected


@given(SIDES, SIDES)
def test_resized_never_vanishes_and_never_exceeds(height, width):
    resized = resized_size((height, width), 448, 2048)
    assert 1 <= min(resized) <= 448
    assert max(resized) <= 2048


@given(SIDES, SIDES, st.integers(1, 32))
def test_padded_is_the_smallest_multiple(height, width, multiple):
    padded = pad_to_multiple(torch.empty(height, width, device="meta"), multiple).shape
    for side, given_side in zip(padded, (height, width), strict=True):
        assert side % multiple == 0
        assert 0 <= side - given_side < multiple


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_padding_keeps_the_image_and_adds_zeros_right_and_below(leading):
    images = torch.rand(*leading, 5, 8) + 1
    padded = pad_to_multiple(images, 4)
    assert padded.shape == (*leading, 8, 8)
    assert torch.equal(padded[..., :5, :], images)
    assert not padded[..., 5:, :].any()
    assert torch.equal(pad_to_multiple(padded, 4), padded)


def test_padding_takes_masks():
    assert pad_to_multiple(torch.ones(2, 3, 3, dtype=torch.bool), 4).sum() == 18


def test_bins_share_out_every_pixel_between_the_first_and_the_last_edge():
    shares = bin_coverage(5, torch.tensor([0.0, 1.5, 1.75, 5.0]))
    assert shares.tolist() == [[1, 0.5, 0, 0, 0], [0, 0.25, 0, 0, 0], [0, 0.25, 1, 1, 1]]


SIDE = 9
corners = st.tuples(*[st.integers(0, SIDE - 1)] * 2, *[st.integers(1, SIDE)] * 2).map(
    lambda c: (c[0], c[1], min(SIDE, c[0] + c[2]), min(SIDE, c[1] + c[3]))
)


def pixels(box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@settings(deadline=None, max_examples=50)
@given(st.lists(corners, max_size=5), corners)
def test_boxes_overlap_as_their_pixels_do(boxes, target):
    expected = [len(pixels(b) & pixels(target)) / len(pixels(b) | pixels(target)) for b in boxes]
    assert box_ious(boxes, target) == pytest.approx(expected)


def test_no_boxes_have_no_overlaps():
    assert box_ious([], (0, 0, 1, 1)).shape == (0,)


@pytest.mark.parametrize(("count", "overlap"), [(0, 0.5), (1, 0.5), (40, 0.8), (300, 0.5), (300, 0.9)])
def test_overlaps_and_what_they_suppress_are_those_of_torchvision(count, overlap):
    draw = torch.Generator().manual_seed(count)
    corners = torch.randint(0, 40, (count, 2), generator=draw)
    boxes = torch.cat(
        [corners, corners + torch.randint(0, 12, (count, 2), generator=draw)], 1
    ).float()  # empty ones, too
    scores = torch.randint(0, 30, (count,), generator=draw) / 30  # equal ones, too
    torch.testing.assert_close(pairwise_ious(boxes, boxes), box_iou(boxes, boxes), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(suppress(boxes, scores, overlap), nms(boxes, scores, overlap))
