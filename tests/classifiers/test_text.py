"""The text classifier: an oracle query by query, patches and regions alike."""

from dataclasses import replace

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


def test_a_class_may_have_a_soft_maximum_of_its_queries(texts):
    vectors = F.normalize(torch.randn(5, 6, generator=torch.Generator().manual_seed(4)), dim=1)
    found = TextMatching(tau=2).fit(texts, temperature=10.0)(vectors)
    each = (10 * vectors @ texts.vectors.T).double()
    couch = (2 * each[:, 1:3]).exp().sum(1).log() / 2
    torch.testing.assert_close(found, torch.stack([each[:, 0], couch, each[:, 3]], 1).float())
    torch.testing.assert_close(TextMatching(tau=1e4).fit(texts)(vectors), TextMatching().fit(texts)(vectors))
    assert TextMatching().name == "text"
    assert TextMatching(tau=2).name == "text(tau=2)"
    with pytest.raises(UsageError, match="tau must be above 0"):
        TextMatching(tau=0)


@pytest.mark.parametrize("normalise", [True, False])
def test_probabilities_of_queries_become_those_of_classes(texts, normalise):
    logits = 9 * torch.randn(5, 4, generator=torch.Generator().manual_seed(7))
    queries = logits.double().softmax(1)
    expected = torch.stack([queries[:, 0], queries[:, 1:3].amax(1), queries[:, 3]], 1)
    expected = expected / expected.sum(1, keepdim=True) if normalise else expected
    torch.testing.assert_close(TextClassifier(texts).probabilities(logits, normalise), expected.float())


def test_classes_may_be_judged_each_by_itself(texts):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(7))
    found = TextMatching(sigmoid=True).fit(texts, temperature=1.0).probabilities(logits)
    torch.testing.assert_close(found, torch.stack([logits[:, 0], logits[:, 1:3].amax(1), logits[:, 3]], 1).sigmoid())
    regions = RegionEmbeddings(F.normalize(torch.randn(3, 6), dim=1), "tiny")
    classifier = TextClassifier(texts, 5.0, sigmoid=True)
    torch.testing.assert_close(region_probabilities(regions, classifier), classifier(regions.vectors).sigmoid())


def test_templates_may_count_each_by_itself(texts):
    each = F.normalize(torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(9)), dim=2)
    apart = TextMatching(apart=True).fit(replace(texts, each=each), temperature=3.0)
    vectors = F.normalize(torch.randn(2, 6), dim=1)
    expected = [[sum(float(v @ t) for t in query) for query in each] for v in vectors]
    torch.testing.assert_close(apart.of_queries(vectors), torch.tensor(expected))
    assert TextMatching(apart=True).reads_templates
    with pytest.raises(UsageError, match="without the vectors of each template"):
        TextMatching(apart=True).fit(texts)
