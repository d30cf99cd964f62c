"""The cleaning of Talk2DINO against plain loops, and the scores of the class token that it reads."""

import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.plain import PlainReadout
from densevl.dense.stages.talk2dino import HeadCleaning

THINGS = Vocabulary.parse("cat, sofa|couch, dog")


def example(count=2):
    generator = torch.Generator().manual_seed(5)
    grid, attention = torch.randn(count, 6, 3, 4, generator=generator), torch.randn(count, 3, 3, 4, generator=generator)
    vectors = F.normalize(torch.randn(4, 6, generator=generator), dim=1)
    texts = TextEmbeddings(vectors, torch.tensor(THINGS.query_classes), THINGS, "tiny", "none")
    masks = torch.rand(count, 3, 3, 4, generator=generator)
    return masks, DenseFeatures(grid, 8, "tiny", attention=attention), texts


def test_cleaning_by_loops():
    masks, features, texts = example()
    found = HeadCleaning(0.3)(masks, features, texts)
    for window in range(2):
        patches, heads = features.grid[window].flatten(1).double(), features.attention[window].flatten(1).double()
        looks = [F.normalize(sum(a * x for a, x in zip(head, patches.T, strict=True)) / 12, dim=0) for head in heads]
        raised = []
        for text in texts.vectors.double():
            shares = torch.stack([text @ look for look in looks]).softmax(0)
            raised.append(sum(share * head for share, head in zip(shares, heads, strict=True)).softmax(0))
        raised, of_queries = torch.stack(raised), masks[window].flatten(1)[texts.query_classes].double()
        spread = of_queries.max() - of_queries.min()
        raised = (raised - raised.min()) / raised.max() * spread + of_queries.min()
        each = (of_queries + 0.3 * raised) / 1.3
        expected = torch.stack([each[0], each[1:3].mean(0), each[3]]).unflatten(1, (3, 4))
        torch.testing.assert_close(found[window].double(), expected, atol=1e-6, rtol=0)
    alone = HeadCleaning(0.3)(masks[1:], features.split([1, 1])[1], texts)
    torch.testing.assert_close(found[1:], alone)


def test_a_class_without_a_query_keeps_its_probabilities():
    masks, features, texts = example()
    vocabulary = Vocabulary("with background", (("background",), *THINGS.classes), background=0)
    silent = TextEmbeddings(texts.vectors, texts.query_classes + 1, vocabulary, "tiny", "none")
    more = torch.cat([torch.zeros_like(masks[:, :1]), masks], dim=1)
    found = HeadCleaning()(more, features, silent)
    assert not found[:, 0].any()
    torch.testing.assert_close(found[:, 1:], HeadCleaning()(masks, features, texts))


def test_features_without_scores_of_the_class_token_are_refused():
    masks, features, texts = example()
    with pytest.raises(UsageError, match="'attention': True"):
        HeadCleaning()(masks, DenseFeatures(features.grid, 8, "tiny"), texts)
    with pytest.raises(UsageError, match="weight must be above 0"):
        HeadCleaning(-1)


def test_scores_of_the_class_token():
    encoder = tiny_clip()
    encoder.model.float().eval()
    side = 4 * encoder.patch_size
    images = torch.rand(2, 3, side, 3 * encoder.patch_size, generator=torch.Generator().manual_seed(0))
    features = DenseEncoder(encoder, {"type": "plain", "attention": True})(images)
    last = encoder.last_block(images)
    queries, keys, values = last.block.qkv(last.block.norm_1(last.tokens))
    weights = (queries[:, :, 0].double()[:, :, None] @ keys.double().mT / queries.shape[3] ** 0.5)[:, :, 0]
    expected = weights[:, :, last.prefix :].unflatten(2, (4, 3)).float()
    torch.testing.assert_close(features.attention, expected, atol=1e-5, rtol=1e-4)
    attended = last.block.out(weights.softmax(2).float()[:, :, None] @ values)
    torch.testing.assert_close(attended[:, 0], run_block(last.block, last.tokens)["attn"][:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(features.grid, DenseEncoder(encoder, "plain")(images).grid)
    assert PlainReadout(True).name == "plain(attention=True)"
    assert PlainReadout().name == "plain"
