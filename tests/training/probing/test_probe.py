"""A linear probe: it learns what a line can tell, at every position alike, and the same for ever."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.training.probing.probe import fit_probe

N = 240


def test_several_classes_at_once_by_the_same_map_everywhere():
    inputs = 5 + 3 * torch.randn(N, 4, 6, generator=torch.Generator().manual_seed(0))
    targets = torch.stack([inputs[..., 0] > 5, inputs[..., 1] + inputs[..., 2] > 11], -1)
    probe = fit_probe(inputs[:160], targets[:160], 2)
    assert probe.weight.shape == (2, 6)
    assert ((probe(inputs[160:]) > 0) == targets[160:]).float().mean() > 0.85
    moved = fit_probe(100 * inputs[:160] - 7, targets[:160], 2)  # inputs of any scale
    assert torch.allclose(moved(100 * inputs[160:] - 7), probe(inputs[160:]), atol=1e-3)


def test_one_of_several_by_one_softmax():
    """The gradient of the first step is that of one softmax: a second one would make it smaller."""
    inputs = torch.eye(3).repeat(80, 1)[:, None]
    targets = torch.arange(3).repeat(80)[:, None]
    probe = fit_probe(inputs, targets, 3, epochs=400)
    assert (probe(inputs)[:, 0].argmax(1) == targets[:, 0]).all()
    assert probe(inputs).softmax(-1).amax(-1).min() > 0.65  # two softmaxes end at e / (e + 2) = 0.58


def test_a_seed_gives_the_same_probe_and_leaves_the_chance_of_others():
    draw = torch.Generator().manual_seed(3)  # more images than a batch, so that their order matters
    inputs, targets = torch.randn(300, 1, 3, generator=draw), torch.randint(2, (300, 1), generator=draw)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first = fit_probe(inputs, targets, 2, epochs=2, seed=1)
    assert torch.equal(torch.rand(1), before)
    assert torch.equal(fit_probe(inputs, targets, 2, epochs=2, seed=1).weight, first.weight)
    assert not torch.equal(fit_probe(inputs, targets, 2, epochs=2, seed=2).weight, first.weight)


def test_an_input_that_never_changes_is_harmless():
    inputs = torch.cat([torch.randn(40, 1, 2), torch.full((40, 1, 1), 3.0)], -1)
    assert fit_probe(inputs, inputs[..., :1] > 0, 1, epochs=3)(inputs).isfinite().all()


@pytest.mark.parametrize("wrong", [torch.zeros(0, 1, 3), torch.full((2, 1, 3), float("nan"))])
def test_what_cannot_be_learnt_from(wrong):
    with pytest.raises(UsageError, match=r"one image in one epoch|not finite"):
        fit_probe(wrong, torch.zeros(len(wrong), 1, dtype=torch.long), 2)
