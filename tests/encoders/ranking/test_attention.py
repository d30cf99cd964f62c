"""Attention over pairs against its definition: one softmax over the tokens of both images."""

import pytest
import torch

from densevl.encoders.ranking import attention
from densevl.encoders.ranking.attention import RankAwareAttention


@pytest.fixture(scope="module")
def given():
    torch.manual_seed(0)
    return RankAwareAttention(16, heads=4).eval(), torch.randn(3, 16), 3 * torch.randn(5, 7, 16)


def brute_force(module, queries, first, second):
    pair = torch.cat([first, second])
    q = module.ln_q(module.q_proj(queries)).view(len(queries), 4, 4).transpose(0, 1)
    k = module.ln_kv(module.kv_proj(pair)).view(len(pair), 4, 4).transpose(0, 1)
    weights = (q @ k.mT / 2).softmax(2)
    count = len(first)
    seen = weights[:, :, :count] @ k[:, :count] - weights[:, :, count:] @ k[:, count:]
    return module.out_proj(seen.transpose(0, 1).flatten(1))


@torch.no_grad()
def test_each_pair_is_one_softmax_over_both(given):
    module, queries, tokens = given
    found = module(queries, tokens)
    for i in range(len(tokens)):
        for j in range(len(tokens)):
            torch.testing.assert_close(found[i, j], brute_force(module, queries, tokens[i], tokens[j]))


@torch.no_grad()
def test_sums_in_parts_are_those_at_once(given, monkeypatch):
    module, queries, tokens = given
    whole = module(queries, tokens).sum(2)
    monkeypatch.setattr(attention, "TOGETHER", 1)
    parts = list(module.summed(queries, tokens))
    assert len(parts) == len(tokens)
    torch.testing.assert_close(torch.cat(parts), whole)
