import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.regions.visual_prompts import areas, byte_canvas
from densevl.regions.visual_prompts.areas import box_areas, ellipse_areas

SIZE = (30, 40)
PLACES = st.tuples(st.floats(0, 38), st.floats(0, 28), st.floats(0.2, 30), st.floats(0.2, 20))


@settings(deadline=None)
@given(PLACES)
def test_a_box_holds_the_pixels_whose_centres_it_holds(place):
    x0, y0, width, height = place
    box = torch.tensor([[x0, y0, min(x0 + width, 40), min(y0 + height, 30)]])
    found = box_areas(box, SIZE)[0]
    y, x = np.mgrid[:30, :40] + 0.5
    x0, y0, x1, y1 = box[0].numpy()
    expected = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    assert (found.numpy() == expected).all() or (not expected.any() and found.any())
    assert 1 <= found.sum() <= (x1 - x0 + 1) * (y1 - y0 + 1)


def test_whole_boxes_are_exact():
    found = box_areas(torch.tensor([[3.0, 4, 10, 6], [0, 0, 40, 30]]), SIZE)
    assert found.sum((1, 2)).tolist() == [14, 1200]
    assert found[0, 4:6, 3:10].all()


def test_an_ellipse_is_that_of_the_formula():
    centre, radii = torch.tensor([[18.3, 14.0]]), torch.tensor([[9.0, 5.5]])
    y, x = np.mgrid[:30, :40] + 0.5
    expected = ((x - 18.3) / 9) ** 2 + ((y - 14) / 5.5) ** 2 <= 1
    assert (ellipse_areas(centre, radii, SIZE)[0].numpy() != expected).sum() <= 2  # on the curve but for rounding


def test_many_regions_are_what_each_is_alone():
    boxes = torch.rand(5, 4) * 10
    boxes[:, 2:] += boxes[:, :2] + 1
    centres, radii = boxes[:, :2] + 5, boxes[:, 2:] / 3
    assert torch.equal(box_areas(boxes, SIZE), torch.cat([box_areas(b[None], SIZE) for b in boxes]))
    alone = [ellipse_areas(c[None], r[None], SIZE) for c, r in zip(centres, radii, strict=True)]
    assert torch.equal(ellipse_areas(centres, radii, SIZE), torch.cat(alone))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**16))
def test_outlines_are_dilation_without_erosion(width, seed):
    rng = np.random.default_rng(seed)
    area = cv2.blur(rng.random((30, 40)).astype(np.float32), (7, 7)) > 0.5
    outer = width // 2
    inner = width - outer
    padded = np.pad(area.astype(np.uint8), 12)

    def kernel(reach: int) -> np.ndarray:
        return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)

    grown, shrunk = cv2.dilate(padded, kernel(outer)), cv2.erode(padded, kernel(inner))
    expected = (grown > shrunk)[12:-12, 12:-12]
    for module in (areas, byte_canvas):
        assert np.array_equal(module.outlines(torch.from_numpy(area)[None], width)[0].numpy(), expected)


@pytest.mark.parametrize("module", [areas, byte_canvas])
def test_the_line_of_the_whole_picture_runs_along_its_edge(module):
    line = module.outlines(torch.ones(1, *SIZE, dtype=torch.bool), 2)[0]
    assert line.sum() == 2 * 40 + 2 * 28
    assert not line[1:-1, 1:-1].any()


@pytest.mark.parametrize("module", [areas, byte_canvas])
def test_resized_masks_keep_area_and_never_vanish(module):
    resized_masks = module.resized_masks
    masks = torch.zeros(3, 60, 80, dtype=torch.bool)
    masks[0, 10:40, 20:60] = True
    masks[1, 31, 33:36] = True
    found = resized_masks(masks, SIZE)
    assert found.sum((1, 2)).tolist()[0] == 300
    assert 0 < found[1].sum() <= 6
    assert found[2].sum() == 0
    assert torch.equal(found, torch.cat([resized_masks(mask[None], SIZE) for mask in masks]))
    assert resized_masks(masks[:0], SIZE).shape == (0, *SIZE)
    assert resized_masks(masks, (60, 80)) is masks


@pytest.mark.parametrize("size", [(24, 32), (31, 47), (60, 80), (113, 150), (9, 12), (3, 4)])
def test_masks_resized_by_opencv_are_those_of_torch(size):
    """But for pixels that are half covered to within the rounding of a byte; exactly half is the same in both."""
    rng = np.random.default_rng(0)
    soft = np.stack([cv2.blur(rng.random((60, 80)).astype(np.float32), (k, k)) for k in (3, 9, 21)])
    masks = torch.from_numpy(soft > 0.5)
    differ = byte_canvas.resized_masks(masks, size) != areas.resized_masks(masks, size)
    skips = areas.skips_pixels((60, 80), size)
    values = torch.nn.functional.interpolate(masks[:, None].float(), size, mode="bilinear", antialias=skips)[:, 0]
    assert ((values[differ] - areas.HALF).abs() < 1 / 128).all()
    blocks = torch.zeros(1, 60, 80, dtype=torch.bool)
    blocks[:, 13:41, 22:59] = True
    assert torch.equal(byte_canvas.resized_masks(blocks, size), areas.resized_masks(blocks, size))
