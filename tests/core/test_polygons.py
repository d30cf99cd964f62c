"""Polygons of masks: exact to the pixel, or as near as is stated, holes and single pixels included."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from densevl.core.polygons import MIN_IOU, Polygon, polygons_of

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def blobs(seed: int, size: tuple[int, int] = (90, 130)) -> np.ndarray:
    """A mask like those of label maps: smooth areas with bays and holes."""
    noise = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    mask = (cv2.GaussianBlur(noise, (0, 0), 4) > 0.02).astype(np.uint8)
    return cv2.circle(cv2.circle(mask, (60, 40), 25, 1, -1), (65, 45), 9, 0, -1).astype(bool)


def filled(polygons: list[Polygon], size: tuple[int, ...]) -> np.ndarray:
    """The pixels as pycocotools fills polygons of one annotation."""
    rings = [polygon.ring().ravel().astype(float).tolist() for polygon in polygons]
    return coco.decode(coco.merge(coco.frPyObjects(rings, *size))).astype(bool) if rings else np.zeros(size, bool)


def signed_area(ring: np.ndarray) -> float:
    x, y = ring.T.astype(float)
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_exact_polygons_are_the_mask(mask):
    polygons = polygons_of(mask, simplify=False)
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)
    assert sum(abs(signed_area(polygon.outline)) for polygon in polygons) - sum(
        abs(signed_area(hole)) for polygon in polygons for hole in polygon.holes
    ) == pytest.approx(mask.sum())
    for polygon in polygons:
        assert all(np.sign(signed_area(hole)) == -np.sign(signed_area(polygon.outline)) for hole in polygon.holes)
        assert abs(signed_area(polygon.ring())) == pytest.approx(
            abs(signed_area(polygon.outline)) - sum(abs(signed_area(hole)) for hole in polygon.holes)
        )


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_simplified_polygons_keep_the_stated_iou(mask):
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    polygons = polygons_of(mask)
    assert len(polygons) == parts.max()
    for polygon in polygons:
        found = filled([polygon], mask.shape)
        ious = [(found & (parts == i)).sum() / (found | (parts == i)).sum() for i in range(1, parts.max() + 1)]
        assert max(ious) >= MIN_IOU


@pytest.mark.parametrize("seed", range(4))
def test_simplified_polygons_of_areas_are_short_and_near(seed):
    mask = blobs(seed)
    exact, simple = polygons_of(mask, simplify=False), polygons_of(mask)
    assert any(polygon.holes for polygon in simple)
    corners = [sum(len(polygon.ring()) for polygon in found) for found in (exact, simple)]
    assert corners[1] < corners[0] / 2
    again = filled(simple, mask.shape)
    assert (again & mask).sum() / (again | mask).sum() > 0.96


def test_a_pixel_is_a_square_of_pixel_corners():
    mask = np.zeros((4, 5), bool)
    mask[1, 2] = True
    (polygon,) = polygons_of(mask, x=10, y=20)
    assert sorted(polygon.outline.tolist()) == [[12, 21], [12, 22], [13, 21], [13, 22]]
    (whole,) = polygons_of(np.ones((4, 5), bool))
    assert sorted(whole.outline.tolist()) == [[0, 0], [0, 4], [5, 0], [5, 4]]


def test_pixels_that_touch_in_a_corner_are_two_parts():
    polygons = polygons_of(np.eye(2, dtype=bool))
    assert [polygon.outline.min(0).tolist() for polygon in polygons] == [[0, 0], [1, 1]]


def test_holes_stay_open_by_either_rule():
    mask = np.ones((30, 40), bool)
    mask[5:12, 6:15] = mask[15:25, 20:33] = mask[14, 3] = False
    (polygon,) = polygons_of(mask, simplify=False)
    assert len(polygon.holes) == 3
    enlarged = (polygon.ring() * 8).astype(int)
    even_odd = Image.new("1", (320, 240))
    ImageDraw.Draw(even_odd).polygon([tuple(point) for point in enlarged.tolist()], fill=1)
    middles = np.s_[4::8, 4::8]
    np.testing.assert_array_equal(np.array(even_odd)[middles], mask)
    by_opencv = np.zeros((240, 320), np.uint8)
    cv2.fillPoly(by_opencv, [enlarged.astype(np.int32)], 1)
    np.testing.assert_array_equal(by_opencv[middles].astype(bool), mask)


def test_no_pixel_no_polygon():
    assert polygons_of(np.zeros((3, 3), bool)) == []
