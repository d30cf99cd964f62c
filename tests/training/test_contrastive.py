"""The losses of the mini CLIP against loops in float64, and a short training."""

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys.dense import dense

from densevl.datasets.scenes.training import ScenePairs, SceneText
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini import mini_tokenizer
from densevl.training.contrastive import ContrastiveCLIP, contrast_loss, cover_loss, explain_loss, patch_likeness

seeds = st.integers(0, 2**31 - 1)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_contrast_counts_every_true_text(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(4, 4, generator=generator, dtype=torch.float64)
    true = (torch.rand(4, 4, generator=generator) < 0.3) | torch.eye(4, dtype=torch.bool)
    expected = 0.0
    for table, held in ((logits.tolist(), true.tolist()), (logits.T.tolist(), true.T.tolist())):
        for values, positives in zip(table, held, strict=True):
            total = sum(math.exp(v) for v in values)
            kept = sum(math.exp(v) for v, p in zip(values, positives, strict=True) if p)
            expected -= math.log(kept / total) / 8
    assert contrast_loss(logits, true).item() == pytest.approx(expected)


def test_contrast_with_single_positives_is_the_loss_of_clip():
    logits = torch.randn(5, 5, dtype=torch.float64)
    labels = torch.arange(5)
    cross = torch.nn.functional.cross_entropy
    expected = (cross(logits, labels) + cross(logits.T, labels)) / 2
    torch.testing.assert_close(contrast_loss(logits, torch.eye(5, dtype=torch.bool)), expected)


def example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    log_p = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64).log_softmax(-1)
    return log_p, torch.tensor([[True, True, False], [True, True, True]])


def test_cover_is_the_mean_of_the_best_patches():
    log_p, real = example()
    expected = [-sum(sorted(log_p[b, :, t].tolist())[-2:]) / 2 for b in range(2) for t in range(3) if real[b, t]]
    assert cover_loss(log_p, real, 2).item() == pytest.approx(sum(expected) / len(expected))


@pytest.mark.parametrize("balance", [0.0, 0.7])
def test_explain_by_hand(balance):
    log_p, real = example()
    likeness = torch.rand(2, 6, 6, dtype=torch.float64).softmax(-1)
    total = 0.0
    for b in range(2):
        things = [t for t in range(3) if real[b, t]]
        evidence = [[sum(likeness[b, n, m] * log_p[b, m, t] for m in range(6)).exp() for t in things] for n in range(6)]
        shares = [[e / sum(row) for e in row] for row in evidence]
        claimed = [sum(row[i] for row in shares) / 6 for i in range(len(things))]
        for n in range(6):
            weighted = [s * (c * len(things)) ** -balance for s, c in zip(shares[n], claimed, strict=True)]
            for weight, t in zip(weighted, things, strict=True):
                total -= weight / sum(weighted) * log_p[b, n, t] / 12
    assert explain_loss(log_p, real, likeness, balance).item() == pytest.approx(float(total))


def test_balance_favours_the_thing_that_claims_little():
    log_p = torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log().expand(1, 2, 2).requires_grad_()
    real, likeness = torch.tensor([[True, True]]), torch.eye(2)[None]

    def pull(balance: float) -> float:
        gradient = torch.autograd.grad(explain_loss(log_p, real, likeness, balance), log_p)[0]
        return (gradient[0, :, 1] / gradient[0].sum(-1)).mean().item()

    assert pull(0.5) > pull(0.0)


def test_likeness_joins_equal_colours_that_are_near():
    images = torch.zeros(1, 3, 32, 32)
    images[:, 0, :, 16:] = 1
    likeness = patch_likeness(images, 8)[0].view(4, 4, 4, 4)
    torch.testing.assert_close(likeness.sum((2, 3)), torch.ones(4, 4))
    assert likeness[1, 1, :, 2:].sum() < 1e-6
    assert likeness[1, 1, 1, 0] > likeness[1, 1, 3, 0]


@pytest.fixture(scope="module")
def model() -> ContrastiveCLIP:
    return ContrastiveCLIP(autocast=False).eval()


def test_training_reads_patches_as_the_segmentor_will(model):
    encoder = CLIPEncoder(model.clip, mini_tokenizer(), "mini")
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        patches, _ = model.read(images)
        texts = torch.nn.functional.normalize(model.embed_texts(["a red circle", "grass"]), dim=-1)
    expected = dense(encoder, images, MaskCLIPReadout()).grid.flatten(2).mT
    torch.testing.assert_close(patches, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(texts, encoder.embed_texts(["a red circle", "grass"]), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        _, pooled = model.read(images := torch.rand(2, 3, 128, 128))
    pooled = torch.nn.functional.normalize(pooled, dim=-1)
    torch.testing.assert_close(pooled, encoder.embed_images(images), rtol=1e-3, atol=1e-4)


def test_pictures_of_equal_texts_do_not_contradict_each_other(model):
    text = SceneText("a red circle on grass", (("grass", "grass", "grass"), ("red circle", "red shape", "circle")))
    losses = model(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [text, text])
    assert losses["loss_contrast"].item() == pytest.approx(0, abs=1e-6)
    assert losses["loss_cover"] > 0


def test_scene_pairs_tell_only_what_is_in_the_picture():
    pairs = ScenePairs(8, size=32)
    for index in range(8):
        sample = pairs[index]
        assert sample["images"].shape == (3, 32, 32)
        assert sample["images"].dtype == torch.uint8
        plain = re.sub("small |large ", "", sample["texts"].caption)
        assert all(name in plain for name, _, _ in sample["texts"].things)
    again = ScenePairs(8, size=32)[3]
    assert again["texts"] == pairs[3]["texts"]


def test_scene_pairs_scale_down_and_pad():
    pairs = ScenePairs(6, size=32, detail=(2,), padded=1.0)
    for index in range(6):
        image = pairs[index]["images"]
        assert image.shape == (3, 32, 32)
        black = (image == 0).all(0)
        assert (~black[:25, :25]).any(), "less than a patch is padded"
    assert any((pairs[index]["images"][:, -1] == 0).all() for index in range(6))
    assert (pairs[0]["images"] != 0).any()


@pytest.mark.slow
def test_thirty_steps_reduce_the_loss():
    torch.manual_seed(0)
    model, pairs = ContrastiveCLIP(), ScenePairs(256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    history = []
    for step in range(30):
        batch = [pairs[(16 * step + i) % 256] for i in range(16)]
        losses = model([sample["images"] for sample in batch], [sample["texts"] for sample in batch])
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-5:]) < 0.75 * sum(history[:5])
