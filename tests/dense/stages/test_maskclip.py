import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.dense.stages import maskclip as refine
from densevl.dense.stages.maskclip import denoise, smooth_by_keys


def case(seed=0, n=2, k=4, h=3, w=5, c=6):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (3 * torch.randn(n, k, h, w, generator=generator)).softmax(dim=1)
    return probabilities, torch.randn(n, c, h, w, generator=generator)


def smoothed_by_loops(probabilities, keys, threshold):
    """The definition, patch by patch."""
    result = probabilities.clone()
    places = [(i, j) for i in range(keys.shape[2]) for j in range(keys.shape[3])]
    for n in range(len(keys)):
        for i, j in places:
            if probabilities[n, :, i, j].max() >= threshold:
                continue
            weights = [max(0.0, torch.cosine_similarity(keys[n, :, i, j], keys[n, :, a, b], dim=0)) for a, b in places]
            total = sum(weight * probabilities[n, :, a, b] for weight, (a, b) in zip(weights, places, strict=True))
            result[n, :, i, j] = total / sum(weights)
    return result


def smoothed_as_in_the_reference(probabilities, keys, threshold):
    """Keys divided by their norm over the patches, signed weights that do not sum to one."""
    n, k, h, w = probabilities.shape
    rows = keys.reshape(n, -1, h * w).transpose(1, 2)
    rows = rows / rows.pow(2).sum(dim=1, keepdim=True).sqrt()
    before = probabilities.reshape(n, k, h * w).transpose(1, 2)
    after = torch.einsum("npc,nqc,nqk->npk", rows, rows, before)
    uncertain = before.max(dim=2, keepdim=True).values < threshold
    return torch.where(uncertain, after, before).transpose(1, 2).reshape(n, k, h, w)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("at_once", [1, 40, 2**24])
def test_smoothing_by_its_definition(monkeypatch, threshold, at_once):
    monkeypatch.setattr(refine, "WEIGHTS_AT_ONCE", at_once)
    probabilities, keys = case()
    found = smooth_by_keys(probabilities, keys, threshold)
    torch.testing.assert_close(found, smoothed_by_loops(probabilities, keys, threshold))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, 3, 5))


@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_legacy_smoothing_is_that_of_the_reference(threshold):
    probabilities, keys = case(1)
    found = smooth_by_keys(probabilities, keys, threshold, legacy=True)
    torch.testing.assert_close(found, smoothed_as_in_the_reference(probabilities, keys, threshold))


def test_the_two_differ():
    probabilities, keys = case(2)
    legacy = smooth_by_keys(probabilities, keys, 1.0, legacy=True)
    assert (legacy - smooth_by_keys(probabilities, keys, 1.0)).abs().max() > 0.05


def test_smoothing_leaves_its_input_and_takes_keys_of_lower_precision():
    probabilities, keys = case(3)
    before = probabilities.clone()
    found = smooth_by_keys(probabilities, keys.bfloat16(), 1.0)
    assert torch.equal(probabilities, before)
    assert (found - smooth_by_keys(probabilities, keys, 1.0)).abs().max() < 0.02


def test_smoothing_a_batch_is_smoothing_each():
    probabilities, keys = case(4)
    together = smooth_by_keys(probabilities, keys, 0.8)
    for one, key, expected in zip(probabilities, keys, together, strict=True):
        torch.testing.assert_close(smooth_by_keys(one[None], key[None], 0.8)[0], expected)


def test_smoothing_needs_keys_of_its_grid():
    with pytest.raises(UsageError, match="got none"):
        smooth_by_keys(case()[0], None, 0.5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), threshold=st.floats(0.05, 0.95))
def test_denoising_is_a_softmax_over_the_classes_that_remain(seed, threshold):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 5, 2, 3, generator=generator)
    probabilities = logits.softmax(dim=1)
    dropped = probabilities.amax(dim=(0, 2, 3)) < threshold
    found = denoise(probabilities, threshold)
    if dropped.all():
        assert torch.equal(found, probabilities)
    else:
        logits[:, dropped] = -torch.inf
        torch.testing.assert_close(found, logits.softmax(dim=1))


def test_a_class_seen_in_one_window_is_kept_in_all():
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1]])[:, :, None, None]
    found = denoise(probabilities, 0.5)[..., 0, 0]
    torch.testing.assert_close(found, torch.tensor([[0.9, 0.1, 0.0], [1 / 3, 2 / 3, 0.0]]))


def test_a_patch_of_dropped_classes_alone_stays_a_distribution():
    probabilities = torch.tensor([[0.8, 0.2, 0.0], [0.0, 0.0, 1.0]]).T[None, :, :, None]
    found = denoise(probabilities, 0.9)
    torch.testing.assert_close(found[0, :, :, 0], torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]))
    found = denoise(probabilities[..., :1, :], 0.5)
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
