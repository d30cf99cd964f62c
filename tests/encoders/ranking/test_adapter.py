"""The ranking-aware adapter: one image at a time is many at once, and sizes that cannot be are refused."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.encoders.ranking.adapter import RankAdapter


@torch.no_grad()
def test_an_image_alone_has_the_score_that_it_has_among_others():
    torch.manual_seed(0)
    adapter = RankAdapter(24, width=16, texts=3, queries=2, blocks=1, places=12).eval()
    patches, texts, places = torch.randn(4, 9, 24), torch.randn(4, 2, 24), torch.randn(4, 9, 12)
    tokens = adapter(patches, texts, places)
    alone = torch.cat([adapter(patches[i : i + 1], texts[i : i + 1], places[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(alone, tokens, atol=1e-5, rtol=1e-4)
    pairs, some = adapter.pairs(tokens), adapter.pairs(tokens[[2, 0]])
    torch.testing.assert_close(some[0, 1], pairs[2, 0], atol=1e-5, rtol=1e-4)
    assert torch.allclose(pairs.diagonal(), pairs[0, 0])  # an image does not differ from itself
    assert adapter.scores(tokens).shape == (4,)


def test_without_a_width_it_is_the_published_one():
    names = {name.split(".")[0] for name in RankAdapter(16).state_dict()}
    assert not names & {"image_in", "text_in", "place_in"}


@pytest.mark.parametrize("wrong", [{"width": 20}, {"texts": 0}, {"queries": 0}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(UsageError, match="a ranking adapter of width"):
        RankAdapter(16, **wrong)
