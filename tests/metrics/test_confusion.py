import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.metrics.confusion import confusion_matrix, scores_of


@st.composite
def maps(draw):
    classes = draw(st.integers(1, 9))
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    truth = generator.integers(0, classes + 1, size)
    return classes, np.where(truth == classes, 255, truth), generator.integers(0, classes, size)


@given(maps())
@settings(max_examples=60, deadline=None)
def test_matrix_counts_every_pixel_by_hand(case):
    classes, truth, labels = case
    expected = np.zeros((classes, classes), np.int64)
    for true, given_ in zip(truth.ravel(), labels.ravel(), strict=True):
        if true != 255:
            expected[true, given_] += 1
    matrix = confusion_matrix(torch.from_numpy(truth), torch.from_numpy(labels), classes)
    assert (matrix.numpy() == expected).all()


@given(maps())
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_sets(case):
    classes, truth, labels = case
    counted = truth != 255
    names = [f"c{i}" for i in range(classes)]
    matrix = confusion_matrix(torch.from_numpy(truth), torch.from_numpy(labels), classes)
    scores = scores_of(matrix, names, {"first": [0]})
    for label in range(classes):
        true, given_ = (truth == label) & counted, (labels == label) & counted
        union, both = (true | given_).sum(), (true & given_).sum()
        assert scores.pixels[label] == true.sum()
        assert scores.iou[label].item() == pytest.approx(100 * both / union if union else np.nan, nan_ok=True)
        assert scores.accuracy[label].item() == pytest.approx(
            100 * both / true.sum() if true.any() else np.nan, nan_ok=True
        )
        assert (names[label] in scores.absent) == (union == 0)
    right = (truth == labels)[counted]
    assert scores.pixel_accuracy == pytest.approx(100 * right.mean() if right.size else np.nan, nan_ok=True)
    assert scores.group_iou()["first"] == pytest.approx(scores.iou[0].item(), nan_ok=True)


def test_absent_classes_stay_out_of_the_mean():
    matrix = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    scores = scores_of(matrix, ["a", "b", "c"])
    assert scores.absent == ("c",)
    assert scores.mean_iou == pytest.approx((75 + 80) / 2)
    assert scores.mean_accuracy == pytest.approx((75 + 100) / 2)
    assert scores.pixel_accuracy == pytest.approx(100 * 7 / 8)
    assert scores.as_dict()["classes"][2] == {"name": "c", "IoU": None, "Acc": None, "pixels": 0}


def test_counts_beyond_float32():
    matrix = torch.tensor([[2**40 + 1, 1], [0, 2**40]])
    assert scores_of(matrix, ["a", "b"]).as_dict()["classes"][0]["pixels"] == 2**40 + 2
