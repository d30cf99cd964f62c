"""The refiner against its equations, patch by patch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import DenseFeatures
from densevl.dense.refiners import affinity as pooling
from densevl.dense.refiners.affinity import pool_by_affinity, pool_by_cosine
from densevl.dense.refiners.dinoiser import DinoiserRefiner, mark_background

LAYER = "blocks.0.ln_2"


@pytest.fixture
def refiner():
    torch.manual_seed(0)
    return DinoiserRefiner(12, 5, LAYER, encoder_id="tiny@1").requires_grad_(False)


def features(batch=2, height=3, width=4, model_id="tiny@1", channels=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    grid, tapped = (torch.randn(batch, c, height, width, generator=generator) for c in (6, channels))
    return DenseFeatures(grid, 8, model_id, maps={LAYER: tapped})


def pooled_by_definition(grid, affinity, threshold):
    """F_p = Σ_q A_pq f_q / (Σ_q A_pq + 1e-6) with loops, in float64."""
    flat, result = grid.double().flatten(2), torch.zeros_like(grid.double().flatten(2))
    for b, matrix in enumerate(affinity.double()):
        for p in range(len(matrix)):
            weights = [float(a) if a >= threshold else 0.0 for a in matrix[p]]
            mean = sum(w * flat[b, :, q] for q, w in enumerate(weights))
            result[b, :, p] = mean / (sum(weights) + 1e-6)
    return result.unflatten(2, grid.shape[2:]).float()


def test_pooling_is_the_definition():
    affinity = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    grid = features().grid
    torch.testing.assert_close(pool_by_affinity(grid, affinity, 0.2), pooled_by_definition(grid, affinity, 0.2))


def test_patches_like_no_other_keep_their_features_and_equal_patches_share_theirs():
    grid = features(batch=1).grid
    torch.testing.assert_close(pool_by_affinity(grid, torch.eye(12)[None], 0.2), grid, rtol=1e-5, atol=1e-5)
    mean = grid.mean((2, 3), keepdim=True).expand_as(grid)
    torch.testing.assert_close(pool_by_affinity(grid, torch.ones(1, 12, 12), 0.2), mean)


def test_an_affinity_on_the_threshold_counts():
    grid, affinity = features(batch=1).grid, torch.eye(12)[None]
    affinity[0, 0, 5] = 0.25
    expected = (grid[0, :, 0, 0] + 0.25 * grid[0, :, 1, 1]) / 1.25
    torch.testing.assert_close(pool_by_affinity(grid, affinity, 0.25)[0, :, 0, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("entries", [1, 100, 2**24])
def test_rows_at_a_time_give_the_whole(entries, monkeypatch):
    monkeypatch.setattr(pooling, "AFFINITIES_AT_ONCE", entries)
    one = features()
    units = F.normalize(one.maps[LAYER].flatten(2), dim=1)
    expected = pool_by_affinity(one.grid, units.mT @ units, 0.1)
    torch.testing.assert_close(pool_by_cosine(one.grid, one.maps[LAYER], 0.1), expected)


def test_the_refiner_is_its_equations(refiner):
    before = features()
    tapped = before.maps[LAYER]
    after = refiner(before)
    padded = F.pad(tapped, (1, 1, 1, 1), mode="replicate")
    projected = F.conv2d(padded, refiner.obj_proj.weight, refiner.obj_proj.bias)
    units = F.normalize(projected.flatten(2), dim=1)
    expected = pooled_by_definition(before.grid, units.mT @ units, 0.2)
    torch.testing.assert_close(after.grid, expected, rtol=1e-4, atol=1e-5)
    unit = tapped / tapped.norm(dim=1, keepdim=True)
    logits = (unit * refiner.bkg_decoder.weight[0]).sum(1) + refiner.bkg_decoder.bias
    torch.testing.assert_close(after.foreground, logits)
    torch.testing.assert_close(refiner.affinity(tapped), units.mT @ units)
    assert after.maps is before.maps


def test_a_batch_gives_what_its_members_give(refiner):
    parts = [features(1, seed=seed) for seed in range(3)]
    together = refiner(DenseFeatures.cat(parts))
    for one, many in zip(map(refiner, parts), together.split([1, 1, 1]), strict=True):
        torch.testing.assert_close(one.grid, many.grid)
        torch.testing.assert_close(one.foreground, many.foreground)


def test_affinities_of_a_model_in_bfloat16_are_float32(refiner):
    one = features()
    half = refiner.to(torch.bfloat16)
    tapped = one.maps[LAYER].bfloat16()
    after = half(DenseFeatures(one.grid.bfloat16(), 8, "tiny@1", maps={LAYER: tapped}))
    assert after.grid.dtype == torch.bfloat16
    units = F.normalize(half.descriptors(tapped).float().flatten(2), dim=1)
    torch.testing.assert_close(half.affinity(tapped), units.mT @ units, rtol=0, atol=1e-6)
    whole = pool_by_affinity(one.grid.bfloat16(), units.mT @ units, 0.2)
    torch.testing.assert_close(after.grid.float(), whole, rtol=2**-7, atol=1e-3)


def test_background_is_marked_where_nothing_is_certain_and_no_thing_is_seen():
    probabilities = torch.tensor([[0.3, 0.7], [0.3, 0.7], [0.005, 0.995], [0.005, 0.995]]).T.reshape(1, 2, 2, 2)
    foreground = torch.tensor([[[-1.0, 1.0], [-1.0, 1.0]]])
    marked = mark_background(probabilities, foreground, 0, 0.99)
    expected = probabilities.clone()
    expected[0, 0, 0, 0] = 1
    assert torch.equal(marked, expected)


def test_the_background_may_be_any_class_of_any_batch():
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(3, 4, 2, 5, generator=generator).mul(5).softmax(1)
    foreground = torch.randn(3, 2, 5, generator=generator)
    for background in range(4):
        found = mark_background(probabilities, foreground, background, 0.9).numpy()
        for n, y, x in np.ndindex(3, 2, 5):
            expected = probabilities[n, :, y, x].clone()
            if expected.max() < 0.9 and foreground[n, y, x] <= 0:
                expected[background] = 1
            assert np.array_equal(found[n, :, y, x], expected.numpy())


@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_gamma_out_of_range(gamma):
    with pytest.raises(UsageError, match="gamma is the least cosine"):
        DinoiserRefiner(12, gamma=gamma)


def test_another_encoder_is_refused_with_both_names(refiner):
    for other in (features(model_id="other@2"), features(model_id="tiny@2"), features(channels=8)):
        with pytest.raises(
            WeightsError, match=rf"were made for tiny@1 of width 12, and the encoder is {other.model_id}"
        ):
            refiner(other)
    refiner.encoder_id = "tiny"  # known by architecture alone
    assert refiner(features(model_id="tiny@2")).foreground is not None


def test_features_without_the_map_are_refused(refiner):
    with pytest.raises(UsageError, match=r"maps=\('blocks\.0\.ln_2',\)"):
        refiner(DenseFeatures(features().grid, 8, "tiny@1"))
