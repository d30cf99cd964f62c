"""Labels found a few classes at a time against the softmax of all of them."""

import pytest
import torch

from densevl.tasks.segmentation import streamed
from densevl.tasks.segmentation.streamed import Streamed, groups_of_classes


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("at_once", [1, 40, 100, 2**22])
def test_labels_and_probabilities_are_those_of_all_classes(monkeypatch, normalise, at_once):
    monkeypatch.setattr(streamed, "VALUES_AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(0)
    owners = torch.tensor([3, 0, 0, 5, 1, 3, 3, 2])  # class 4 has no query
    logits = torch.randn(8, 4, 5, generator=generator) * 30
    found = Streamed((4, 5), logits.device, normalise)
    looked_at = []
    for members, queries in groups_of_classes(owners, (4, 5)):
        looked_at += members.tolist()
        assert set(owners[queries].tolist()) == set(members.tolist())
        found.add(members, owners[queries], logits[queries].clone())
    assert looked_at == [0, 1, 2, 3, 5]

    of_queries = logits.double().softmax(0)
    wanted = torch.stack([of_queries[owners == k].amax(0) for k in looked_at])
    wanted = wanted / wanted.sum(0) if normalise else wanted
    best, winner = wanted.max(0)
    assert torch.equal(found.labels, torch.tensor(looked_at)[winner])
    torch.testing.assert_close(found.best.double(), best, rtol=1e-5, atol=1e-7)


def test_of_classes_that_tie_the_first_wins():
    found = Streamed((1, 2), torch.device("cpu"), True)
    for k in range(3):
        found.add(torch.tensor([k]), torch.tensor([k]), torch.tensor([[[1.0, float(k == 2)]]]) + torch.zeros(1, 1, 2))
    assert found.labels.tolist() == [[0, 2]]
