"""The ranking-aware adapter: its attention over pairs alone, then scores, scores of pairs and loss of all of it."""

import ast

import pytest
import torch
from toys.golden import assert_agrees, rules
from toys.small_clip import adapters_golden

from densevl.encoders.ranking.adapter import RankAdapter
from densevl.encoders.ranking.attention import RankAwareAttention
from densevl.training.tuning.ranking_loss import ranking_loss


@pytest.fixture(scope="module")
def given():
    outputs = adapters_golden("rank_adapter")
    floats = {name: value for name, value in outputs.items() if value.dtype.kind == "f" and name != "targets"}
    return {name: torch.from_numpy(value).float() for name, value in floats.items()}


@pytest.fixture(scope="module")
def adapter():
    rows = [str(row).partition(":") for row in adapters_golden("rank_adapter")["parameters"]]
    shapes = {name: ast.literal_eval(shape) for name, _, shape in rows}
    state = {}
    for name, shape in shapes.items():
        gain = len(shape) == 1 and name.endswith("weight")
        made = torch.from_numpy(rules().rule_weight(f"rank.gain.{name}" if gain else f"rank.{name}", shape))
        state[name] = 1 + 0.1 * made if gain else made
    (_, texts), (queries, dim) = shapes["learnable_text_tokens"], shapes["reg_tokens"]
    blocks = sum(name.endswith("mlp.c_fc.weight") and ".resblocks." in name for name in shapes)
    made = RankAdapter(dim, texts=texts, queries=queries, blocks=blocks)
    assert {name: tuple(value.shape) for name, value in made.state_dict().items()} == shapes
    made.load_state_dict(state)
    return made.eval()


def test_attention_over_pairs(given):
    weights = {name[5:]: value for name, value in given.items() if name.startswith("core_")}
    queries, patches = given["reg_tokens"][0], given["patches"]
    attention = RankAwareAttention(queries.shape[1])
    attention.load_state_dict(weights)
    found = attention(queries, patches).detach()
    assert_agrees(found.flatten(0, 1), given["core"].numpy())
    summed = torch.cat(list(attention.summed(queries, patches))).detach()
    assert_agrees(summed, found.sum(2).numpy())


@torch.no_grad()
def test_scores_pairs_and_loss(given, adapter):
    tokens = adapter(given["patches"], given["text"])
    scores, pairs = adapter.scores(tokens), adapter.pairs(tokens)
    assert_agrees(scores[:, None], given["scores"].numpy())
    assert_agrees(pairs.flatten()[:, None], given["pair_scores"].numpy())
    targets = torch.from_numpy(adapters_golden("rank_adapter")["targets"]).float()
    assert_agrees(ranking_loss(scores, pairs, targets), given["loss"].numpy())
