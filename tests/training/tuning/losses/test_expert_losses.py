"""The terms of MoCoOp against sums written out in double precision."""

import math

import pytest
import torch
from toys.tuning_steps import step_of, units

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.training.tuning.losses import LOSSES
from densevl.training.tuning.losses.expert_prototypes import prototype_cross_entropy
from densevl.training.tuning.losses.gate import gate_cross_entropy, gate_targets


def softmax(logits):
    total = sum(map(math.exp, logits))
    return [math.exp(one) / total for one in logits]


def test_each_expert_is_told_apart_by_the_prototypes_of_its_own_group():
    soft, prototypes = units(2, 3, 5, seed=1).double(), units(2, 3, 5, seed=2).double()
    expected = 0.0
    for group in range(2):
        for label in range(3):
            logits = [float(soft[group, label] @ prototypes[group, other]) for other in range(3)]
            expected -= math.log(softmax(logits)[label])
    assert float(prototype_cross_entropy(soft, prototypes)) == pytest.approx(expected / 6)


def test_the_gate_is_told_the_groups_whose_class_text_is_nearest():
    vectors, prototypes = units(4, 5, seed=1).double(), units(3, 2, 5, seed=2).double()
    labels, logits = torch.tensor([0, 1, 1, 0]), torch.randn(4, 3, generator=torch.Generator().manual_seed(3)).double()
    expected = 0.0
    for vector, label, own in zip(vectors, labels.tolist(), logits.tolist(), strict=True):
        cosines = [float(vector @ prototypes[group, label]) for group in range(3)]
        best = sorted(range(3), key=lambda group: -cosines[group])[:2]
        wanted = softmax([one + 10 * (group in best) for group, one in enumerate(cosines)])
        expected -= sum(p * math.log(q) for p, q in zip(wanted, softmax(own), strict=True))
    found = gate_cross_entropy(logits, gate_targets(vectors, prototypes, labels, 2))
    assert float(found) == pytest.approx(expected / 4)


@pytest.mark.parametrize("name", ["expert-prototypes", "gate"])
def test_class_texts_without_experts_are_refused(name):
    with pytest.raises(UsageError, match=f"{name} keeps the experts .* of the type experts"):
        build(LOSSES, name)(step_of(vectors=(3, 5), classes=2))
