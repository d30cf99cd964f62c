"""The terms of GOPro against sums written out in double precision, and what they refuse."""

import math

import pytest
import torch
from toys.tuning_steps import step_of, units

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.encoders.tuning.contracts import Look
from densevl.training.tuning.losses import LOSSES
from densevl.training.tuning.losses.view_contrast import view_cross_entropy
from densevl.training.tuning.losses.view_texts import text_distance


def test_texts_of_two_views_differ_by_the_mean_of_squares():
    first, second = units(2, 3, 4, seed=1), units(2, 3, 4, seed=2)
    pairs = zip(first.double().flatten().tolist(), second.double().flatten().tolist(), strict=True)
    assert float(text_distance(first, second)) == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 24, rel=1e-5)


def test_each_view_finds_the_other_one_of_its_image():
    first, second = 3 * units(3, 4, seed=1).double(), 2 * units(3, 4, seed=2).double()
    both = [one / one.norm() for one in (*first, *second)]
    expected = 0.0
    for row, one in enumerate(both):
        others = [place for place in range(6) if place != row]
        total = sum(math.exp(float(one @ both[place]) / 0.2) for place in others)
        expected -= float(one @ both[(row + 3) % 6]) / 0.2 - math.log(total)
    assert float(view_cross_entropy(first, second, 0.2)) == pytest.approx(expected / 6)


def test_the_contrast_teaches_its_projector():
    views = {view: Look(units(4, 6, seed=seed)) for seed, view in enumerate(("moco", "augmix"))}
    step = step_of(vectors=(4, 6), classes=2)._replace(views=views)
    loss = build(LOSSES, {"type": "view-contrast", "width": 6, "weight": 0.5})
    assert {*loss.needs} == {"view:moco", "view:augmix"}
    found = loss(step)
    found.backward()
    assert all(one.grad is not None for one in loss.parameters())
    projected = [loss.projector(view.vectors) for view in views.values()]
    torch.testing.assert_close(found, 0.5 * view_cross_entropy(*projected))


def test_what_cannot_be_is_refused():
    step = step_of(vectors=(1, 6), classes=2)
    with pytest.raises(UsageError, match=r"view 'mocos' is unknown; did you mean moco\?"):
        build(LOSSES, {"type": "view-texts", "view": "mocos"})
    with pytest.raises(UsageError, match="two views at a temperature above 0"):
        build(LOSSES, {"type": "view-contrast", "views": ["moco"]})
    with pytest.raises(UsageError, match="texts that depend on images"):
        build(LOSSES, "view-texts")(step)
    with pytest.raises(UsageError, match="'moco' changes images"):
        build(LOSSES, "view-contrast")(step)
    seen = step._replace(views={"moco": step.look, "augmix": step.look})
    with pytest.raises(UsageError, match="vectors of 6 numbers, and width=512"):
        build(LOSSES, "view-contrast")(seen)
    with pytest.raises(UsageError, match="batches of two or more"):
        build(LOSSES, {"type": "view-contrast", "width": 6})(seen)
