from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.operations.lab import lab
from densevl.dense.stages import lposs_pixels
from densevl.dense.stages.lposs import LPOSS, patch_centres
from densevl.dense.stages.lposs_pixels import LPOSSPixels, PixelGraph
from densevl.tasks.segmentation.windows import WindowPlan

PLAN = WindowPlan((24, 40), (16, 24), 8)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(plan=PLAN, classes=3):
    grid = plan.grid(8)
    keys = draw(len(plan), 5, *grid, seed=1)
    return draw(len(plan), classes, *grid), DenseFeatures(draw(len(plan), 4, *grid, seed=2), 8, "toy", keys)


def test_patches_are_those_of_all_windows():
    cosines, features = made()
    centres = patch_centres(features, PLAN.boxes)
    assert centres[:7].tolist() == [[4, 4], [4, 12], [4, 20], [12, 4], [12, 12], [12, 20], [4, 12]]
    stretched = patch_centres(replace(features, extent=(-3, 0, 27, 20)), PLAN.boxes)
    assert stretched[:3].tolist() == [[5, 2], [5, 12], [5, 22]]
    found = LPOSS(steps=100)(cosines, features, windows=PLAN.boxes)
    alone = LPOSS(steps=100)(
        cosines[:1], replace(features, grid=features.grid[:1], keys=features.keys[:1]), windows=PLAN.boxes[:1]
    )
    assert (found[:1] - alone).abs().max() > 1e-3


def test_fewer_patches_than_neighbours_are_all_joined():
    cosines, features = made()
    count = features.keys[:, 0].numel()
    found = [LPOSS(neighbours)(cosines, features, windows=PLAN.boxes) for neighbours in (count, 400)]
    assert torch.equal(*found)


def test_patches_that_are_all_alike_share_their_scores():
    cosines, features = made()
    same = replace(features, keys=torch.ones_like(features.keys))
    found = LPOSS(sigma=0, alpha=0.999)(cosines, same, windows=PLAN.boxes)
    mean = cosines.mean((0, 2, 3))
    assert (found - mean[:, None, None]).abs().max() < 0.01 * cosines.abs().max()


def test_one_class_and_one_patch():
    plan = WindowPlan((8, 8), None)
    cosines, features = made(plan, 1)
    found = LPOSS()(cosines, features, windows=plan.boxes)
    torch.testing.assert_close(found, 0.05 * cosines, rtol=1e-5, atol=1e-6)


def test_keys_are_needed():
    cosines, features = made()
    with pytest.raises(UsageError, match=r"lposs needs keys on the grid .* got none; .* refiner `guide-keys`"):
        LPOSS()(cosines, replace(features, keys=None), windows=PLAN.boxes)
    with pytest.raises(UsageError, match=r"cosines \(6, 3, 1, 3\); got \(6, 5, 2, 3\)"):
        LPOSS()(cosines[:, :, :1], features, windows=PLAN.boxes)


@pytest.mark.parametrize(
    "wrong", [{"neighbours": 0}, {"steps": 0}, {"alpha": 1}, {"gamma": -1}, {"sigma": -0.1}, {"power": float("nan")}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises(UsageError, match="lposs takes one neighbour or more"):
        LPOSS(**wrong)


def plain_matrix(colours, tau, reach):
    """Weights of all pairs of pixels, in double precision."""
    height, width = colours.shape[1:]
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    near = (places[:, None] - places).abs().amax(2) <= reach
    flat = colours.double().flatten(1).T
    weights = torch.exp(-torch.cdist(flat, flat) / tau) * near
    return weights.fill_diagonal_(0)


@pytest.mark.parametrize("band", [lposs_pixels.BAND, 40])
@pytest.mark.parametrize("kept", [lposs_pixels.WEIGHTS_KEPT, 0])
@pytest.mark.parametrize(("size", "reach"), [((9, 13), 2), ((5, 3), 6), ((1, 7), 3), ((1, 1), 6)])
def test_neighbours_of_pixels(monkeypatch, size, reach, kept, band):
    monkeypatch.setattr(lposs_pixels, "BAND", band)
    colours, scores = 0.1 * draw(3, *size), draw(2, *size, seed=1)
    graph = PixelGraph(colours, 0.1, reach, kept)
    expected = plain_matrix(colours, 0.1, reach)
    found = graph.neighbours(scores).flatten(1).double()
    torch.testing.assert_close(found, scores.flatten(1).double() @ expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(graph.degrees.flatten().double(), expected.sum(1), rtol=1e-4, atol=1e-5)


def test_pixels_are_solved():
    image, scores = torch.rand(3, 8, 11, generator=torch.Generator().manual_seed(3)), draw(2, 8, 11)
    stage = LPOSSPixels(tau=0.2, reach=2, steps=200)
    weights = plain_matrix(lab(image) / torch.tensor([100, 128, 128])[:, None, None], 0.2, 2)
    scale = weights.sum(1).rsqrt()
    system = torch.eye(88, dtype=torch.float64) - 0.95 * scale[:, None] * weights * scale
    expected = 0.05 * torch.linalg.solve(system, scores.flatten(1).double().T).T
    torch.testing.assert_close(stage(scores, image).flatten(1).double(), expected, rtol=1e-3, atol=1e-3)


def test_each_class_of_pixels_by_itself():
    image, scores = torch.rand(3, 12, 15, generator=torch.Generator().manual_seed(3)), draw(3, 12, 15)
    stage = LPOSSPixels()
    torch.testing.assert_close(stage(scores, image)[1:2], stage(scores[1:2], image), rtol=1e-4, atol=1e-5)


def test_an_image_of_one_colour_has_finite_scores():
    scores = draw(2, 9, 12)
    assert LPOSSPixels()(scores, torch.full((3, 9, 12), 0.4)).isfinite().all()


def test_a_smaller_image_for_large_ones():
    image = F.interpolate(torch.rand(1, 3, 3, 4, generator=torch.Generator().manual_seed(3)), (48, 64))[0]
    scores = F.interpolate(draw(1, 2, 3, 4), (48, 64), mode="bilinear")[0]
    few = LPOSSPixels(reach=2, short_side=24)(scores, image)
    assert few.shape == scores.shape
    half = LPOSSPixels(reach=2)(
        *(F.interpolate(one[None], (24, 32), mode="bilinear", antialias=True)[0] for one in (scores, image))
    )
    torch.testing.assert_close(few, F.interpolate(half[None], (48, 64), mode="bilinear")[0])
    assert torch.equal(LPOSSPixels(short_side=48)(scores, image), LPOSSPixels()(scores, image))


@pytest.mark.parametrize("wrong", [{"tau": 0}, {"reach": 0}, {"steps": 0}, {"alpha": 1.0}])
def test_settings_of_pixels_out_of_range(wrong):
    with pytest.raises(UsageError, match="lposs-pixels takes a tau above 0"):
        LPOSSPixels(**wrong)


def test_a_short_side_is_a_number_of_pixels():
    with pytest.raises(UsageError, match="short_side of lposs-pixels is a number of pixels, or none; got 0"):
        LPOSSPixels(short_side=0)
