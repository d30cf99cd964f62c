"""The text classifier: an oracle query by query, patches and regions alike."""

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.contracts import Examples, LinearClassifier, SumClassifier
from densevl.classifiers.text import TextClassifier, TextMatching, grid_logits, region_probabilities
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.regions import RegionEmbeddings
from densevl.core.vocabulary import Vocabulary

THINGS = Vocabulary.parse("cat, sofa|couch, dog")


@pytest.fixture
def texts():
    vectors = F.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(2)), dim=1)
    return TextEmbeddings(vectors, torch.tensor(THINGS.query_classes), THINGS, "tiny", "none")


def test_a_class_has_the_largest_of_its_queries(texts):
    vectors = F.normalize(torch.randn(5, 6, generator=torch.Generator().manual_seed(4)), dim=1)
    expected = torch.tensor(
        [[10 * max(float(v @ t) for t, c in zip(texts.vectors, (0, 1, 1, 2), strict=True) if c == k) for k in range(3)]
         for v in vectors]
    )  # fmt: skip
    torch.testing.assert_close(TextClassifier(texts, 10.0)(vectors), expected)


def test_patches_and_regions_agree(texts):
    vectors = F.normalize(torch.randn(6, 6, generator=torch.Generator().manual_seed(5)), dim=1)
    grid = grid_logits(vectors.mT.reshape(1, 6, 2, 3), TextClassifier(texts, 20.0)).softmax(1)
    regions = region_probabilities(RegionEmbeddings(vectors, "tiny"), texts, 20.0)
    torch.testing.assert_close(grid[0].flatten(1).mT, regions)


def test_looks_at_a_region_are_summed(texts):
    looks = {name: F.normalize(torch.randn(3, 6), dim=1) for name in ("crop", "blur")}
    embeddings = RegionEmbeddings.of_parts(looks, "tiny", {"blur": 0.5})
    cosines = embeddings.cosines(texts.vectors)
    expected = torch.stack([cosines[:, 0], cosines[:, 1:3].amax(1), cosines[:, 3]], 1)
    torch.testing.assert_close(region_probabilities(embeddings, texts, 7.0), (7 * expected).softmax(1))


def test_a_class_without_a_query_has_no_probability(texts):
    vocabulary = Vocabulary("with background", (("background",), *THINGS.classes), background=0)
    silent = TextEmbeddings(texts.vectors, texts.query_classes + 1, vocabulary, "tiny", "none")
    assert grid_logits(torch.randn(1, 6, 2, 2), TextClassifier(silent)).softmax(1)[:, 0].eq(0).all()


def test_other_models_and_examples_are_refused(texts):
    with pytest.raises(UsageError, match="same model"):
        region_probabilities(RegionEmbeddings(torch.eye(6), "another"), texts)
    with pytest.raises(UsageError, match="uses no examples"):
        TextMatching().fit(texts, Examples(torch.eye(6), torch.zeros(6).long(), "tiny"))
    linear = LinearClassifier(torch.zeros(2, 6), torch.zeros(2), Vocabulary.parse("a, b"), "tiny")
    with pytest.raises(UsageError, match="cannot be summed"):
        SumClassifier((TextClassifier(texts), linear), (1.0, 1.0))


def test_linear_classes_on_a_grid_are_those_of_each_vector():
    weight, bias = 5 * torch.randn(4, 6), torch.randn(4)
    classes = LinearClassifier(weight, bias, Vocabulary.parse("a, b, c, d"), "tiny")
    grid = torch.randn(2, 6, 3, 5) * 10 ** torch.randn(2, 1, 3, 5)
    found = grid_logits(grid.double(), classes)
    assert found.dtype == torch.float32
    for image in range(2):
        for y in range(3):
            for x in range(5):
                vector = grid[image, :, y, x]
                torch.testing.assert_close(found[image, :, y, x], classes(vector / vector.norm()), atol=1e-5, rtol=1e-5)
    assert torch.equal(grid_logits(torch.zeros(1, 6, 1, 1), classes)[0, :, 0, 0], bias)
