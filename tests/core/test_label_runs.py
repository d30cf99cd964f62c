"""Runs of label maps: their codes are those of COCO, and their parts those of a plain search."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from densevl.core.label_runs import LabelRuns

LABELS = arrays.arrays(np.int64, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(-1, 2))


def of_coco(mask):
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_runs_are_the_label_map_and_parts_come_row_by_row(labels):
    runs = LabelRuns.of(labels)
    whole = np.repeat(runs.parts, runs.lengths).reshape(labels.shape[::-1]).T
    np.testing.assert_array_equal(np.repeat(runs.labels, runs.lengths).reshape(labels.shape[::-1]).T, labels)
    _, firsts = np.unique(whole, return_index=True)
    assert (np.diff(firsts) > 0).all()
    for label in np.unique(labels).tolist():
        assert runs.codes[label] == of_coco(labels == label)
        count, parts = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)
        pairs = {(int(a), int(b)) for a, b in zip(whole[labels == label], parts[labels == label], strict=True)}
        assert len(pairs) == count - 1
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == count - 1


@pytest.mark.parametrize("size", [(700, 900), (1, 70_000), (70_000, 1)])
def test_codes_of_long_runs(size):
    labels = np.zeros(size, np.int32)
    labels[size[0] // 2 :, size[1] // 2 :] = 1
    labels[-1, -1] = 0
    runs = LabelRuns.of(labels)
    assert [runs.codes[label] for label in (0, 1)] == [of_coco(labels == label) for label in (0, 1)]


def test_sums_of_values():
    labels = np.array([[0, 1], [0, 0], [1, 0]])
    values = np.array([[1, 2], [4, 8], [16, 32]], np.float32)
    assert LabelRuns.of(labels).sums(values).tolist() == [5, 16, 2, 40]
