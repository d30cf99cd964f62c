"""Pairs within radius: in the loss of the heads' training and in the pooling."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.dense.refiners.affinity import pair_cosines, pairs_within, pool_by_cosine
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.training.dinoiser import affinity_loss


def test_loss_is_the_mean_over_the_pairs_that_count() -> None:
    descriptors = torch.randn(2, 6, 3, 4)
    index, inside = pairs_within((3, 4), 1.5)
    same = torch.rand(2, *index.shape) < 0.5
    units = F.normalize(descriptors.flatten(2), dim=1)
    each = [
        F.binary_cross_entropy_with_logits(
            (units[b, :, p] @ units[b, :, index[p, k]]).clamp(min=0), same[b, p, k].float()
        )
        for b in range(2)
        for p, k in inside.nonzero().tolist()
    ]
    assert torch.allclose(affinity_loss(pair_cosines(descriptors, 1.5), same, inside), torch.stack(each).mean())


def test_pooling_within_reach_by_brute_force() -> None:
    features, descriptors = torch.randn(2, 5, 3, 4), torch.randn(2, 6, 3, 4)
    flat, units = features.flatten(2), F.normalize(descriptors.flatten(2), dim=1)
    for _ in range(2):
        after = torch.zeros_like(flat)
        for b in range(2):
            for p in range(12):
                near = [(p // 4 - q // 4) ** 2 + (p % 4 - q % 4) ** 2 <= 1.5**2 for q in range(12)]
                weights = [float(units[b, :, p] @ units[b, :, q]) * near[q] for q in range(12)]
                weights = [w if w >= 0.1 else 0.0 for w in weights]
                after[b, :, p] = sum(w * flat[b, :, q] for q, w in enumerate(weights)) / sum(weights)
        flat = after
    pooled = pool_by_cosine(features, descriptors, 0.1, radius=1.5, rounds=2)
    assert torch.allclose(pooled.flatten(2), flat, atol=1e-4)


def test_rows_at_once_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    features, descriptors = torch.randn(2, 5, 4, 4), torch.randn(2, 6, 4, 4)
    whole = pool_by_cosine(features, descriptors, 0.2, rounds=3)
    monkeypatch.setattr("densevl.dense.refiners.affinity.AFFINITIES_AT_ONCE", 100)
    assert torch.allclose(whole, pool_by_cosine(features, descriptors, 0.2, rounds=3), atol=1e-6)


def test_a_reach_over_everything_is_no_limit() -> None:
    features, descriptors = torch.randn(1, 5, 4, 4), torch.randn(1, 6, 4, 4)
    limited, unlimited = (pool_by_cosine(features, descriptors, 0.2, radius) for radius in (9, None))
    assert torch.allclose(limited, unlimited, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"radius": -1.0}])
def test_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        DinoiserRefiner(8, 4, **wrong)
