import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.tasks.segmentation.windows import WindowPlan

sides = st.integers(1, 60)


def mmseg_boxes(height: int, width: int, crop: int, stride: int) -> list[tuple[int, int, int, int]]:
    """The rule of mmsegmentation, written out: grids by ceiling, the end clipped, the start moved back."""
    boxes = []
    for row in range(max(height - crop + stride - 1, 0) // stride + 1):
        for column in range(max(width - crop + stride - 1, 0) // stride + 1):
            bottom, right = min(row * stride + crop, height), min(column * stride + crop, width)
            boxes.append((max(bottom - crop, 0), max(right - crop, 0), bottom, right))
    return boxes


@given(sides, sides, st.integers(1, 30), st.data())
def test_windows_lie_where_mmseg_puts_them(height: int, width: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    plan = WindowPlan((height, width), window, stride)
    h, w = plan.window_size
    assert [(y, x, y + h, x + w) for y in plan.ys for x in plan.xs] == mmseg_boxes(height, width, window, stride)
    assert len(plan) == len(plan.ys) * len(plan.xs)


@given(sides, sides, st.integers(1, 30), st.data())
def test_every_pixel_is_in_a_window(height: int, width: int, window: int, data: st.DataObject) -> None:
    plan = WindowPlan((height, width), window, data.draw(st.integers(1, window)))
    seen = torch.zeros(height, width, dtype=torch.bool)
    for y in plan.ys:
        for x in plan.xs:
            seen[y : y + plan.window_size[0], x : x + plan.window_size[1]] = True
    assert seen.all()


def test_the_ade_case() -> None:
    plan = WindowPlan((448, 598))
    assert (plan.ys, plan.xs, plan.window_size) == ((0,), (0, 150), (448, 448))
    assert plan.grid(16) == (28, 28)
    assert plan.grid(14) == (32, 32)
    assert WindowPlan((448, 598), None).grid(14) == (32, 43)


def test_windows_may_be_oblong() -> None:
    plan = WindowPlan((50, 80), (20, 40), (10, 40))
    assert (plan.ys, plan.xs, plan.window_size) == ((0, 10, 20, 30), (0, 40), (20, 40))


def test_crop_goes_image_by_image_in_reading_order() -> None:
    images = torch.rand(2, 3, 30, 40)
    plan = WindowPlan((30, 40), 20, 10)
    windows = plan.crop(images)
    assert windows.shape == (2 * len(plan), 3, 20, 20)
    places = [(y, x) for y in plan.ys for x in plan.xs]
    for index, window in enumerate(windows):
        image, (y, x) = images[index // len(plan)], places[index % len(plan)]
        assert torch.equal(window, image[:, y : y + 20, x : x + 20])


def test_no_window_means_the_whole_image() -> None:
    images = torch.rand(2, 3, 7, 5)
    plan = WindowPlan((7, 5), None)
    assert len(plan) == 1
    assert torch.equal(plan.crop(images), images)


def test_equal_plans_are_equal_and_hash_alike() -> None:
    first, second = WindowPlan((9, 9), 4, 2), WindowPlan((9, 9), 4, 2)
    assert first.ys == (0, 2, 4, 5)  # computed and kept: no part of what the plan is
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (4, 0), (4, 5), ((8, 4), 6), (-1, -1)])
def test_windows_that_leave_gaps_are_refused(window: int, stride: int) -> None:
    with pytest.raises(UsageError, match="cover every pixel"):
        WindowPlan((20, 20), window, stride)


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="1×1"):
        WindowPlan((0, 20))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match="plan is for"):
        WindowPlan((20, 20), 8, 4).crop(torch.zeros(1, 3, 20, 21))
