"""Weights of names against plain loops."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stages.aliases import AliasWeights

THINGS = Vocabulary.parse("cat, sofa|couch, dog")


@pytest.mark.parametrize("whole", [True, False])
def test_weights_by_loops(whole):
    generator = torch.Generator().manual_seed(3)
    grid, each = torch.randn(2, 5, 3, 4, generator=generator), torch.randn(4, 2, 5, generator=generator)
    each = F.normalize(each, dim=2)
    vectors = F.normalize(each.mean(1), dim=1)
    texts = TextEmbeddings(vectors, torch.tensor(THINGS.query_classes), THINGS, "tiny", "none", each=each)
    features = DenseFeatures(grid, 8, "tiny", whole=torch.randn(2, 5, generator=generator) if whole else None)
    scores = torch.randn(2, 4, 3, 4, generator=generator)
    found = AliasWeights(0.3)(scores, features, texts)
    for window in range(2):
        g = F.normalize(features.whole[window] if whole else grid[window].mean((1, 2)), dim=0).double()
        powers = [float(sum(float(g @ t.double()) for t in query) / 2) / 0.3 for query in each]
        total = sum(torch.tensor(power).exp() for power in powers)
        for query in range(4):
            weight = torch.tensor(powers[query]).exp() / total * 4
            torch.testing.assert_close(found[window, query], scores[window, query] * weight)
    alone = AliasWeights(0.3)(scores[1:], DenseFeatures.split(features, [1, 1])[1], texts)
    torch.testing.assert_close(found[1:], alone)
    plain = AliasWeights(0.3)(scores, features, replace(texts, each=vectors[:, None]))
    torch.testing.assert_close(AliasWeights(0.3)(scores, features, replace(texts, each=None)), plain)


def test_a_factor_of_nothing_is_refused():
    with pytest.raises(UsageError, match="tem must be above 0"):
        AliasWeights(0)
