"""Segments: one a class, one a connected part, or one a thing of a mask maker; together they are the label map."""

import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from densevl.core.errors import UsageError
from densevl.core.segments import Segment, class_segments, connected_segments, labels_of, segments_of_masks

LABELS = arrays.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-1, 3))


def best_of(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(labels.size).random(labels.shape, dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_class_segments_are_the_label_map(labels):
    best = best_of(labels)
    segments = class_segments(labels, best)
    np.testing.assert_array_equal(labels_of(segments, labels.shape), labels)
    assert [segment.area for segment in segments] == sorted((segment.area for segment in segments), reverse=True)
    for segment in segments:
        mask = labels == segment.label
        rows, columns = np.nonzero(mask)
        x, y, width, height = segment.box
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert segment.score == pytest.approx(best[mask].mean(), abs=1e-5)
        crop, left, top = segment.crop()
        code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert segment.mask == {"size": list(mask.shape), "counts": code["counts"].decode()}
        np.testing.assert_array_equal(crop, mask[top : top + height, left : left + width])
    json.dumps([asdict(segment) for segment in segments])


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(1, 6))
def test_connected_segments_are_the_parts_that_are_large_enough(labels, min_area):
    best = best_of(labels)
    found = connected_segments(class_segments(labels, best), min_area)
    expected = []
    for label in np.unique(labels[labels >= 0]):
        count, parts = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)
        expected += [(int(label), parts == part) for part in range(1, count) if (parts == part).sum() >= min_area]
    assert len(found) == len(expected)
    for label, mask in expected:
        (match,) = [segment for segment in found if segment.label == label and (segment.pixels() == mask).all()]
        assert match.score == pytest.approx(best[mask].mean(), abs=1e-5)


def test_parts_come_row_by_row_and_without_scores_keep_that_of_the_class():
    labels = np.full((4, 6), -1)
    labels[0, 5] = labels[2:, 0] = 1
    segments = class_segments(labels)
    assert [segment.score for segment in segments] == [None]
    assert [segment.box for segment in connected_segments(segments, 1)] == [(5, 0, 1, 1), (0, 2, 1, 2)]
    assert [segment.box for segment in connected_segments(segments, 2)] == [(0, 2, 1, 2)]
    assert class_segments(np.full((3, 3), -1)) == ()


def test_masks_become_things_and_the_rest_stays():
    labels = np.zeros((20, 40), int)
    labels[:, 20:] = 1
    labels[0, 0] = -1
    masks = np.zeros((4, 20, 40), bool)
    masks[0, 2:10, 2:10] = True  # of class 0
    masks[1, 2:18, 8:14] = True  # of class 0, under the first one in two columns
    masks[2, 5:10, 10:30] = True  # half and half: of class 0, which comes first
    masks[3, 0:5, 14:24] = True  # of class 0 by more than half
    things, rest = segments_of_masks(labels, masks, best_of(labels))
    assert [thing.label for thing in things] == [0, 0, 0, 0]
    np.testing.assert_array_equal(things[0].pixels(), masks[0])
    np.testing.assert_array_equal(things[1].pixels(), masks[1] & ~masks[0])
    np.testing.assert_array_equal(things[2].pixels(), masks[2] & ~masks[1] & (labels == 0))
    assert [segment.label for segment in rest] == [1, 0]
    found = (*things, *rest)
    together = np.sum([segment.pixels() for segment in found], axis=0)
    assert together.max() == 1
    np.testing.assert_array_equal(labels_of(found, labels.shape), labels)
    assert all(segment.score == pytest.approx(best_of(labels)[segment.pixels()].mean(), abs=1e-5) for segment in found)


def test_masks_of_no_class_are_passed_over():
    labels = np.zeros((6, 9), int)
    labels[:, 3:6], labels[:, 6:] = 1, 2
    masks = np.ones((2, 6, 9), bool)
    masks[1] = False
    assert segments_of_masks(labels, masks) == ((), class_segments(labels))
    assert segments_of_masks(np.full((6, 9), -1), masks) == ((), ())


def test_sizes_that_disagree():
    with pytest.raises(UsageError, match=r"masks have size \(3, 3\)"):
        segments_of_masks(np.zeros((2, 3), int), np.zeros((1, 3, 3), bool))
    with pytest.raises(UsageError, match=r"segment has size \(2, 3\)"):
        labels_of([Segment(0, {"size": [2, 3], "counts": "06"})], (3, 3))
