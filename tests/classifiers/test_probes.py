"""Linear probe, NMTune and COOkeD: published outputs, an oracle, and what they make of any examples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from toys.few_examples import MODEL, arrays, assert_close, few_shot_task, texts_of, units

from densevl.classifiers.contracts import Examples, LinearClassifier
from densevl.classifiers.cooked import COOkeD, CookedClassifier, entropy
from densevl.classifiers.folds import likelihood_loss
from densevl.classifiers.linear_probe import LinearProbe
from densevl.classifiers.nmtune import WEIGHTS, NMTune, Reshaping, loss_terms
from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError


def test_nmtune_has_the_published_network_and_losses(shared):
    data = arrays(shared, "nmtune")
    network = Reshaping(16)
    names = {"first.weight": "w1", "first.bias": "b1", "norm.weight": "bn_w", "norm.bias": "bn_b"}
    names |= {"second.weight": "w2", "second.bias": "b2", "scale": "scale"}
    network.load_state_dict({own: data[name] for own, name in names.items()}, strict=False)
    features, labels = data["features"].repeat(2, 1), data["labels"].repeat(2)  # weak view = strong view
    reshaped = network(features)
    assert_close(reshaped.detach(), data["tuned"], 1e-4)
    terms = loss_terms(features, reshaped, F.linear(reshaped, data["head_w"], data["head_b"]), labels)
    for name, expected in (("classes", "loss_ce"), ("distance", "loss_mse"), ("covariance", "loss_cov")):
        assert_close(terms[name].detach(), data[expected], 1e-4)
    assert_close(terms["singular"].detach(), data["singular_share"][:5].mean(), 1e-4)
    total = sum(weight * terms[name] for name, weight in WEIGHTS.items())
    assert_close(total.detach(), data["loss"], 1e-4)
    assert list(WEIGHTS.values()) == pytest.approx(
        [1.0, *(sign * w for sign, w in zip((1, 1, -1), data["weights"].tolist(), strict=True))]
    )


def test_the_layers_that_are_kept_are_the_network_after_training():
    texts, examples, _ = few_shot_task()
    fitted = NMTune(epochs=3).fit(texts, examples)
    network = Reshaping(12)
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        network = Reshaping(12)
        network(torch.randn(40, 12) * 3 + 1)
        torch.nn.init.normal_(network.scale)
    features = torch.randn(6, 12)
    layers = network.eval().layers
    hidden = F.linear(features, layers["first_weight"], layers["first_bias"]).relu()
    found = features + F.linear(hidden, layers["second_weight"], layers["second_bias"])
    torch.testing.assert_close(found, network(features).detach(), rtol=1e-4, atol=1e-5)
    assert fitted.factor == pytest.approx(12**0.5)


def test_cooked_is_the_published_ensemble(shared):
    data = arrays(shared, "cooked")
    texts = texts_of(F.normalize(data["text"], dim=1))
    probe, other = (
        LinearClassifier(data[f"{name}_weight"], data[f"{name}_bias"], texts.vocabulary, MODEL)
        for name in ("probe", "classifier")
    )
    for scale, name in ((100.0, "clip_t100"), (97.0, "97.00")):
        ensemble = CookedClassifier(TextClassifier(texts, scale), probe, other)
        found = {kind: ensemble(data[f"features_{kind}"]) for kind in ("id", "ood")}
        for kind, logits in found.items():
            label = f"avg_classifier+probe+{name}"
            assert_close(logits.softmax(1).amax(1), data[f"{kind}/msp_{label}"], 1e-4)
            assert_close(entropy(logits), data[f"{kind}/entropy_{label}"], 1e-4)
        right = (found["id"].argmax(1) == data["labels"]).double().mean()
        assert float(right) == pytest.approx(float(data[f"accuracy/pred_{label}"]))
        scores = np.concatenate([entropy(found["id"]), entropy(found["ood"])])
        assert roc_auc_score(np.arange(120) >= 60, scores) == pytest.approx(float(data[f"auroc/entropy_{label}"]))


def test_a_probe_is_the_logistic_regression_of_the_strength():
    texts, examples, _ = few_shot_task()
    found = LinearProbe(10.0).fit(texts, examples)
    oracle = LogisticRegression(C=10.0, max_iter=1000).fit(examples.vectors.numpy(), examples.labels.numpy())
    vectors = units(7, 12, seed=5)
    torch.testing.assert_close(
        found(vectors).softmax(1), torch.from_numpy(oracle.predict_proba(vectors.numpy())).float(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("method", [LinearProbe(), NMTune(), COOkeD(), COOkeD(published=True)])
def test_few_classes(method, classes):
    texts, examples, test = few_shot_task(classes)
    fitted = method.fit(texts, examples, 20.0)
    logits = fitted(test.vectors)
    assert logits.shape == (30 * classes, classes)
    assert (logits.argmax(1) == test.labels).float().mean() > 0.9
    torch.testing.assert_close(fitted(test.vectors[4]), logits[4])
    torch.testing.assert_close(torch.cat([fitted(some) for some in test.vectors.split(7)]), logits)
    assert (fitted.vocabulary, fitted.model_id, fitted.space) == (texts.vocabulary, MODEL, None)


def test_an_ensemble_is_sure_of_what_it_knows_and_not_of_the_rest():
    texts, examples, test = few_shot_task(4)
    known = examples.chosen(examples.labels < 3)
    part = texts_of(texts.vectors[:3])
    fitted = COOkeD().fit(part, known, 20.0)
    inside = test.labels < 3
    uncertain = entropy(fitted(test.vectors))
    assert roc_auc_score(~inside.numpy(), uncertain.numpy()) > 0.8


def test_the_strength_is_chosen_by_held_out_examples():
    """Of pure noise nothing can be learnt, and of clear clusters much can."""
    texts, examples, test = few_shot_task()
    noise = examples._replace(labels=examples.labels[torch.randperm(24, generator=torch.Generator().manual_seed(0))])
    assert LinearProbe().fit(texts, noise).weight.norm() < LinearProbe().fit(texts, examples).weight.norm()
    assert likelihood_loss(LinearProbe().fit(texts, examples)(test.vectors), test.labels) < 0.5


def test_weights_of_examples_count():
    texts, examples, _ = few_shot_task()
    twice = Examples(*(torch.cat([one, one]) for one in examples[:2]), MODEL, weights=torch.full((48,), 0.5))
    expected, found = (LinearProbe(10.0).fit(texts, some) for some in (examples, twice))
    torch.testing.assert_close(found.weight, expected.weight, rtol=1e-2, atol=1e-2)


def test_what_cannot_be_learnt_is_named():
    with pytest.raises(UsageError, match="strength is the inverse of a penalty, above 0; got 0"):
        LinearProbe(0.0)
    with pytest.raises(UsageError, match="epochs are rounds"):
        NMTune(epochs=0)
    texts, examples, _ = few_shot_task(shots=1)
    with pytest.raises(UsageError, match="wants more examples than classes, 3; got 3"):
        COOkeD().fit(texts, examples)


def test_a_seed_gives_the_same_network_and_leaves_other_draws_alone():
    texts, examples, _ = few_shot_task()
    torch.manual_seed(3)
    first, drawn = NMTune(epochs=2).fit(texts, examples), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(first.head_weight, NMTune(epochs=2).fit(texts, examples).head_weight)
    assert not torch.equal(first.head_weight, NMTune(epochs=2, seed=1).fit(texts, examples).head_weight)
