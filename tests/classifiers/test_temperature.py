"""Temperature scaling against a search over the factor."""

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.temperature import LEAST, MOST, fit_sharpness
from densevl.core.errors import UsageError


def drawn(sharpness, n=4000):
    """Logits, and labels that are drawn with the probabilities of the sharpened logits."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, 5, generator=generator)
    labels = torch.multinomial((sharpness * logits).softmax(1), 1, generator=generator)[:, 0]
    return logits, labels


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_the_factor_that_labels_were_drawn_with_is_found(sharpness):
    logits, labels = drawn(sharpness)
    found = fit_sharpness(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.1)
    best = F.cross_entropy(found * logits.double(), labels)
    for other in torch.linspace(0.5, 1.5, 21).tolist():
        assert best <= F.cross_entropy(other * found * logits.double(), labels) + 1e-12


def test_classes_that_cannot_be_given_do_not_matter():
    logits, labels = drawn(0.5)
    closed = torch.cat([logits, torch.full((len(logits), 1), -torch.inf)], dim=1)
    assert fit_sharpness(closed, labels) == pytest.approx(fit_sharpness(logits, labels))


def test_limits():
    logits = torch.tensor([[1.0, 0.0]])
    assert 30 < fit_sharpness(logits, torch.tensor([0])) <= MOST  # beyond it the softmax is 1 in float64
    assert fit_sharpness(logits, torch.tensor([1])) == pytest.approx(LEAST)


@pytest.mark.parametrize(
    "logits", [torch.zeros(0, 2), torch.tensor([[0.0, -torch.inf]]), torch.tensor([[0.0, torch.nan]])]
)
def test_nothing_to_calibrate_on(logits):
    with pytest.raises(UsageError, match="finite score"):
        fit_sharpness(logits, torch.ones(len(logits), dtype=torch.long))
