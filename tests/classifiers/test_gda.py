"""GDA against the outputs of its published code, and as a classifier of texts and examples."""

import numpy as np
import pytest
import torch

from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.contracts import Classifier, Examples, check_classifier
from densevl.classifiers.gaussian import gaussian_weights, new_class_weights, shrunk_precision
from densevl.classifiers.gda import GDA
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary

MODEL = "tiny@1"


def texts_of(vectors, model=MODEL):
    vocabulary = Vocabulary("reference", tuple((f"class {i}",) for i in range(len(vectors))))
    return TextEmbeddings(vectors, torch.arange(len(vectors)), vocabulary, model, "none")


def arrays(shared, name):
    data = np.load(shared / "golden" / "adapters" / f"{name}.npz")
    return {
        key: torch.from_numpy(value).float() if value.dtype == np.float16 else torch.from_numpy(np.asarray(value))
        for key, value in data.items()
    }


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def test_few_shots(shared):
    data = arrays(shared, "gda_fewshot")
    vectors, labels = data["views"].flatten(0, 1), data["labels"].repeat(len(data["views"]))
    weight, bias = gaussian_weights(vectors, labels, len(data["text"]))
    assert_close(weight.mT, data["weight"], 1e-3)
    assert_close(bias, data["bias"], 1e-3)
    for alpha, expected in zip(data["alphas"].tolist(), data["test_logits"], strict=True):
        fitted = GDA(alpha).fit(texts_of(data["text"]), Examples(vectors, labels, MODEL))
        assert_close(fitted(data["test"]), expected, 1e-3)
    best = GDA(float(data["best_alpha"])).fit(texts_of(data["text"]), Examples(vectors, labels, MODEL))
    right = (best(data["test"]).argmax(1) == data["test_labels"]).double().mean()
    assert 100 * right == pytest.approx(float(data["test_accuracy"]), abs=1e-3)


def test_from_base_to_new_classes(shared):
    data = arrays(shared, "gda_base_to_new")
    weight, bias = gaussian_weights(data["features"], data["labels"], len(data["text_base"]), shrink=False)
    assert_close(weight.mT, data["weight_base"], 2e-3)
    assert_close(bias, data["bias_base"], 2e-3)
    weight, bias = new_class_weights(data["features"], data["text_new"])
    assert_close(weight.mT, data["weight_new"], 1e-3)
    assert_close(bias, data["bias_new"], 1e-3)
    logits = 100 * data["test_new"] @ data["text_new"].mT
    logits = logits + float(data["alpha"]) * (data["test_new"] @ weight.mT + bias)
    assert_close(logits, data["logits_new"], 1e-3)


def test_the_estimate_is_the_formula():
    centred = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    covariance = sum(torch.outer(row, row) for row in centred) / 6
    expected = 5 * torch.linalg.inv(6 * covariance + covariance.trace() * torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(shrunk_precision(centred), expected)


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(3)
    vectors = torch.nn.functional.normalize(torch.randn(12, 6, generator=generator), dim=1)
    return Examples(vectors, torch.arange(12) % 3, MODEL, "dense: x")


def test_it_is_a_classifier_of_its_space(examples):
    texts = texts_of(torch.eye(6)[:3])
    fitted = build(CLASSIFIERS, {"type": "gda", "alpha": 0.5}).fit(texts, examples)
    assert isinstance(fitted, Classifier)
    assert (fitted.vocabulary, fitted.model_id, fitted.space) == (texts.vocabulary, MODEL, "dense: x")
    grid = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(fitted(grid)[1, 2, 3], fitted(grid[1, 2, 3]))
    check_classifier(fitted, MODEL, "dense: x")
    with pytest.raises(UsageError, match="make them anew"):
        check_classifier(fitted, MODEL, "dense: y")
    with pytest.raises(UsageError, match="same model"):
        check_classifier(fitted, "other@2", "dense: x")


def test_what_it_cannot_learn_from_is_refused(examples):
    texts = texts_of(torch.eye(6)[:3])
    with pytest.raises(UsageError, match="learns from examples"):
        GDA().fit(texts)
    with pytest.raises(UsageError, match="none of class 2"):
        GDA().fit(texts, examples._replace(labels=torch.arange(12) % 2))
    with pytest.raises(UsageError, match="more examples than classes"):
        GDA().fit(texts, Examples(examples.vectors[:3], torch.arange(3), MODEL))
    with pytest.raises(UsageError, match="same model"):
        GDA().fit(texts_of(torch.eye(6)[:3], "other@2"), examples)
    with pytest.raises(UsageError, match="0 or more"):
        GDA(alpha=-1.0)
