"""Cross-entropy against sums written out in double precision."""

import pytest
import torch
from toys.tuning_steps import step_of

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.training.tuning.losses import LOSSES


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_it_is_the_mean_of_minus_log_probabilities_under_smoothed_targets(smoothing):
    step = step_of(vectors=(5, 7), classes=4, temperature=10.0)
    loss = build(LOSSES, {"type": "cross-entropy", "weight": 2.0, "smoothing": smoothing})
    expected = 0.0
    for vector, label in zip(step.look.vectors.double(), step.labels.tolist(), strict=True):
        logits = [10.0 * float(vector @ text) for text in step.texts.double()]
        total = sum(torch.tensor(logits).double().exp()).log().item()
        for name, logit in enumerate(logits):
            target = smoothing / len(logits) + (1 - smoothing) * (name == label)
            expected -= target * (logit - total) / len(step.look.vectors)
    assert float(loss(step)) == pytest.approx(2 * expected, rel=1e-5)


def test_texts_of_each_example_are_compared_with_it_alone():
    step = step_of(vectors=(3, 5), classes=4)
    together = build(LOSSES, "cross-entropy")(step)
    apart = build(LOSSES, "cross-entropy")(step._replace(texts=step.texts.expand(3, -1, -1)))
    torch.testing.assert_close(together, apart)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match=r"smoothing is a fraction .* got 1.5"):
        build(LOSSES, {"type": "cross-entropy", "smoothing": 1.5})
    with pytest.raises(UsageError, match="needs examples with names"):
        build(LOSSES, "cross-entropy")(step_of(vectors=(3, 5), classes=4)._replace(labels=None))
