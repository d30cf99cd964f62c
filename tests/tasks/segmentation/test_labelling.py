import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toys.pretend_device import pretended_device, waits

from densevl.benchmarks.speed.plain import plain_scores
from densevl.core.errors import UsageError
from densevl.tasks.segmentation import labelling
from densevl.tasks.segmentation.labelling import label, scores
from densevl.tasks.segmentation.windows import WindowPlan


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, WindowPlan, int, tuple[int, int]]:
    """Random scores, windows and sizes, larger and smaller than the image, of several kinds of texture."""
    size = draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    window = draw(st.none() | st.integers(10, 80))
    stride = 1 if window is None else draw(st.integers(window // 3, window))
    plan = WindowPlan(size, window, stride)
    patch = draw(st.sampled_from([1, 3, 4, 7, 14, 16]))
    k = draw(st.sampled_from([1, 2, 3, 7, 40]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    grid = plan.grid(patch)
    coarse = tuple(max(1, side // draw(st.sampled_from([1, 2, 4]))) for side in grid)
    noise = F.interpolate(torch.randn(len(plan), k, *coarse, generator=generator), grid, mode="nearest")
    sharpness = draw(st.sampled_from([1e-4, 1.0, 10.0]))  # near-uniform to peaky
    probabilities = (noise * sharpness).softmax(1)
    return probabilities, plan, patch, draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))


def agreement(labels: Tensor, best: Tensor, expected: Tensor, tolerance: float) -> None:
    """Labels are the best class, but where the chosen class ties with it to within the tolerance."""
    top = expected.amax(0)
    chosen = expected.gather(0, labels[None])[0]
    assert (chosen >= top * (1 - tolerance)).all()
    clear = (expected > top * (1 - tolerance)).sum(0) == 1
    assert torch.equal(labels[clear], expected.argmax(0)[clear])
    torch.testing.assert_close(best, top.to(best.dtype), rtol=max(tolerance, 1e-6), atol=0)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_labels_are_those_of_the_plain_computation(case: tuple) -> None:
    probabilities, plan, patch, size = case
    agreement(*label(*case), plain_scores(probabilities.double(), plan, patch, size), 1e-6)


@settings(deadline=None, max_examples=40)
@given(cases())
def test_labels_are_those_of_the_plain_computation_in_float32(case: tuple) -> None:
    # The plain one places its samples in float32, up to 1e-5 of a patch off.
    agreement(*label(*case), plain_scores(*case), 2e-4)


@settings(deadline=None, max_examples=50)
@given(cases(), st.sampled_from([2000, 1 << 20]))
def test_pruning_changes_no_bit(case: tuple, band: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling, "_BAND", band)
        for pruned, whole in zip(label(*case), label(*case, prune=False), strict=True):
            assert torch.equal(pruned, whole)


def test_pruning_changes_no_bit_where_classes_tie() -> None:
    plan = WindowPlan((40, 60), 32, 16)
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 3, (len(plan), 12, 4, 4), generator=generator) / 2  # many equal scores
    levels[:, 6:] = levels[:, :6]
    for pruned, whole in zip(
        label(levels, plan, 8, (50, 77)), label(levels, plan, 8, (50, 77), prune=False), strict=True
    ):
        assert torch.equal(pruned, whole)


def test_bands_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = WindowPlan((90, 70), 32, 20)
    probabilities = torch.rand(len(plan), 9, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = label(probabilities, plan, 8, (100, 111))
    monkeypatch.setattr(labelling, "_BAND", 1)
    narrow = label(probabilities, plan, 8, (100, 111))
    assert torch.equal(whole[0], narrow[0])
    torch.testing.assert_close(whole[1], narrow[1], rtol=1e-6, atol=0)


def test_more_than_255_contenders() -> None:
    plan = WindowPlan((16, 16), None)
    probabilities = torch.rand(1, 300, 2, 2, generator=torch.Generator().manual_seed(0))
    case = (probabilities, plan, 8, (33, 20))
    agreement(*label(*case, prune=False), plain_scores(probabilities.double(), *case[1:]), 1e-6)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_the_weights_are_convex(case: tuple) -> None:
    probabilities, plan, patch, size = case
    _, best = label(torch.ones_like(probabilities), plan, patch, size)
    torch.testing.assert_close(best, torch.ones(size), rtol=1e-6, atol=0)
    # Equal classes may differ by a rounding, so which of them wins is not said; one class alone must.
    labels, _ = label(torch.ones_like(probabilities[:, :1]), plan, patch, size)
    assert (labels == 0).all()


@settings(deadline=None, max_examples=60)
@given(cases(), st.data())
def test_scores_are_those_of_the_plain_computation(case: tuple, data: st.DataObject) -> None:
    probabilities, plan, patch, size = case
    expected = plain_scores(probabilities.double(), plan, patch, size).float()
    torch.testing.assert_close(scores(*case), expected, rtol=2e-6, atol=1e-9)
    classes = data.draw(st.lists(st.integers(0, probabilities.shape[1] - 1), min_size=1, max_size=5))
    torch.testing.assert_close(scores(*case, classes=classes), expected[classes], rtol=2e-6, atol=1e-9)


def test_the_best_score_is_the_score_of_the_label() -> None:
    plan = WindowPlan((48, 64), 32, 16)
    probabilities = torch.randn(len(plan), 20, 4, 4, generator=torch.Generator().manual_seed(0))  # any scores do
    labels, best = label(probabilities, plan, 8, (60, 80))
    torch.testing.assert_close(best, scores(probabilities, plan, 8, (60, 80)).gather(0, labels[None])[0])


def test_half_precision_is_computed_in_float32() -> None:
    plan = WindowPlan((48, 64), 32, 16)
    rough = torch.rand(len(plan), 20, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    for from_rough, from_float in zip(
        label(rough, plan, 8, (60, 80)), label(rough.float(), plan, 8, (60, 80)), strict=True
    ):
        assert torch.equal(from_rough, from_float)


def test_pixels_below_the_threshold_become_background() -> None:
    plan = WindowPlan((48, 64), 32, 16)
    probabilities = torch.rand(len(plan), 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels, best = label(probabilities, plan, 8, (60, 80))
    threshold = float(best.median())
    thresholded, same = label(probabilities, plan, 8, (60, 80), threshold=threshold, background=77)
    assert torch.equal(same, best)
    assert torch.equal(thresholded, torch.where(best < threshold, 77, labels))
    assert 0 < (thresholded == 77).float().mean() < 1


@pytest.mark.parametrize("given", [{"threshold": 0.5}, {"background": 0}])
def test_a_threshold_needs_a_background(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="both or neither"):
        label(torch.ones(1, 2, 2, 2), WindowPlan((8, 8)), 4, (8, 8), **given)


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (1, 3, 2, 3), (1, 3, 4, 4), (1, 0, 2, 2)])
def test_scores_that_do_not_fit_the_plan_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"expected a shape of \(1, classes, 2, 2\)"):
        label(torch.ones(shape), WindowPlan((8, 8)), 4, (8, 8))


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="1×1"):
        label(torch.ones(1, 1, 2, 2), WindowPlan((8, 8)), 4, (0, 8))


MEMORY = """
import sys
import torch
import torch.nn.functional as F
from densevl.tasks.segmentation.labelling import label
from densevl.benchmarks.speed.cost import measure
from densevl.tasks.segmentation.windows import WindowPlan

plan, relief, noise = WindowPlan(eval(sys.argv[1]), eval(sys.argv[2])), float(sys.argv[3]), float(sys.argv[4])
generator, grid = torch.Generator().manual_seed(0), plan.grid(16)
coarse = torch.randn(len(plan), 847, 5, 6, generator=generator)
cosines = F.interpolate(coarse, grid, mode="bilinear") * relief
cosines += torch.randn(1, 847, *grid, generator=generator) * noise
probabilities = cosines.softmax(1)
del coarse, cosines
label(probabilities[:, :2], plan, 16, (10, 10))
found = []
costs = measure({"label": lambda: found.extend(label(probabilities, plan, 16, (1024, 1366)))}, 1, warm_up=0)
labels, best = found
assert labels.shape == best.shape == (1024, 1366) and labels.unique().numel() > 100
print(costs["label"].added[0] / 2**20)
"""


@pytest.mark.parametrize(
    ("size", "window", "relief", "noise"),
    [
        pytest.param((448, 598), 448, 3, 1, id="windows"),
        pytest.param((1024, 1366), None, 3, 1, id="whole"),
        pytest.param((1024, 1366), None, 0, 1e-3, id="near-uniform", marks=pytest.mark.slow),
    ],
)
def test_peak_memory(size: tuple[int, int], window: int | None, relief: float, noise: float) -> None:
    """847 classes at 1024×1366, where one full-size tensor would take 4.7 GB."""
    run = [sys.executable, "-c", MEMORY, str(size), str(window), str(relief), str(noise)]
    extra = float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    print(f"{extra:.0f} MiB")
    if math.isnan(extra):
        pytest.skip("this machine does not let a process forget its peak")
    assert 10 < extra < 400  # the labels and the best scores alone take 16


@pytest.mark.parametrize("at_once", [2**24, 500, 1])
@pytest.mark.parametrize("classes", [1, 7])
def test_a_device_that_is_not_asked_gives_the_same_labels(classes, at_once, monkeypatch):
    """All classes at all pixels, in bands and groups of classes: the arithmetic of the pruned way, to the bit."""
    monkeypatch.setattr("densevl.tasks.segmentation.labelling._PIXELS_AT_ONCE", at_once)
    plan, size = WindowPlan((40, 56), 24, 16), (33, 61)
    grids = torch.rand(len(plan), classes, 6, 6, generator=torch.Generator().manual_seed(classes))
    labels, best = label(grids, plan, 4, size, 0.5, -1)
    with pretended_device() as device:
        there = label(grids.to(device), plan, 4, size, 0.5, -1)
        with waits() as found:
            label(there[0].new_zeros(len(plan), classes, 6, 6, dtype=torch.float32), plan, 4, size)
        found_labels, found_best = (value.cpu() for value in there)
    assert found == []
    assert torch.equal(found_labels, labels)
    assert torch.equal(found_best, best)
