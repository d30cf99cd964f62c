"""Mod-X: both terms of the loss, the rows to stay at, and gradients, as the reference code computes them."""

import pytest
import torch
import torch.nn.functional as F
from toys.few_examples import arrays, assert_close

from densevl.training.tuning.losses.info_nce import info_nce
from densevl.training.tuning.losses.mod_x import kept_rows, off_diagonal

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def modx(shared):
    return arrays(shared, "modx")


@pytest.fixture
def cosines(modx):
    """Of the images and texts by the current model, with what their gradients flow to, and by the earlier one."""
    leaves = [modx[name].clone().requires_grad_() for name in ("image", "text")]
    current = [F.normalize(leaf, dim=1) for leaf in leaves]
    earlier = [F.normalize(modx[f"{name}_old"], dim=1) for name in ("image", "text")]
    return leaves, current[0] @ current[1].mT, earlier[0] @ earlier[1].mT


def test_the_contrastive_term(modx, cosines):
    _, new, _ = cosines
    assert_close(info_nce(new, torch.arange(len(new)), float(modx["logit_scale"])), modx["loss_train"], TOLERANCE)


def test_rows_that_were_wrong_are_the_current_ones(modx, cosines):
    _, new, old = cosines
    kept = kept_rows(old, new, torch.eye(len(new)) > 0)
    assert_close(kept, modx["target_image_to_text"], TOLERANCE)
    assert not kept.requires_grad
    wrong = old.argmax(1) != torch.arange(len(old))
    assert wrong.any()
    assert not wrong.all()
    assert torch.equal(kept[wrong], new[wrong].detach())


def test_the_distilled_term_and_the_gradients_of_both(modx, cosines):
    leaves, new, old = cosines
    owners = torch.arange(len(new))
    distilled = off_diagonal(old, new, owners)
    assert_close(distilled, modx["loss_distill"], TOLERANCE)
    loss = info_nce(new, owners, float(modx["logit_scale"])) + float(modx["alpha"]) * distilled
    assert_close(loss, modx["loss"], TOLERANCE)
    loss.backward()
    for leaf, name in zip(leaves, ("grad_image", "grad_text"), strict=True):
        assert_close(leaf.grad, modx[name], TOLERANCE)
