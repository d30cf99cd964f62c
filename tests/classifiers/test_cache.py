"""Tip-Adapter, TIP-X and CapS-Adapter: their published outputs, and what ours do with any vectors."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from toys.few_examples import MODEL, arrays, assert_close, few_shot_task, texts_of, units

from densevl.classifiers.cache import divergences, rescaled, spread_of_examples
from densevl.classifiers.caps_adapter import CapSAdapter
from densevl.classifiers.contracts import Examples
from densevl.classifiers.folds import likelihood_loss
from densevl.classifiers.text import TextClassifier
from densevl.classifiers.tip_adapter import TipAdapter, trained_keys
from densevl.classifiers.tip_x import TIPX
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary


def test_tip_adapter_is_the_published_one(shared):
    data = arrays(shared, "tip_adapter")
    views, things = data["views"], torch.arange(24).repeat(3)
    examples = Examples(views.flatten(0, 1), data["labels"].repeat(3), MODEL, things=things)
    for beta, alpha in ((1.0, 1.0), (5.5, 1.0), (1.0, 1.17), (3.0, 2.5)):
        fitted = TipAdapter(alpha, beta).fit(texts_of(data["text"]), examples)
        assert_close(fitted.keys.mT[:, fitted.owners.argsort()], data["keys"][:, data["labels"].argsort()], 1e-4)
        assert_close(fitted(data["test"]), data[f"logits_beta{beta}_alpha{alpha}"], 1e-4)


def test_the_published_search_finds_the_published_weights(shared):
    """Steps of 200 and 20 up to a scale of 7 and 3, the first of the best on the validation images."""
    data = arrays(shared, "tip_adapter")
    scale, steps = data["search_scale"].tolist(), data["search_step"].tolist()
    examples = Examples(F.normalize(data["views"].mean(0), dim=1), data["labels"], MODEL)
    best, found = -1.0, (0.0, 0.0)
    for beta in [i * (scale[0] - 0.1) / steps[0] + 0.1 for i in range(steps[0])]:
        fitted = TipAdapter(0.0, beta).fit(texts_of(data["text"]), examples)
        plain, near = fitted(data["val"]), replace(fitted, alpha=1.0)(data["val"]) - fitted(data["val"])
        for alpha in [i * (scale[1] - 0.1) / steps[1] + 0.1 for i in range(steps[1])]:
            right = float(((plain + alpha * near).argmax(1) == data["val_labels"]).float().mean())
            if right > best:
                best, found = right, (beta, alpha)
    assert found == pytest.approx((float(data["best_beta"]), float(data["best_alpha"])))


def test_tip_x_and_caps_adapter_are_the_published_ones(shared):
    data = arrays(shared, "caps_tipx")
    texts = texts_of(data["text"])
    examples = Examples(data["support"], data["labels"], MODEL, captions=data["captions"])
    for alpha, beta, gamma, delta in ((1.0, 5.0, 2.0, 0.3), (0.5, 1.0, 10.0, 0.0), (2.5, 20.0, 0.1, 1.0)):
        name = f"a{alpha}_b{beta}"
        tip_x = TIPX(alpha, beta, gamma, published=True).fit(texts, examples)
        assert_close(divergences(tip_x.log_distribution(data["test"]), tip_x.divergences.logs), data["kl_tipx"], 1e-4)
        assert_close(tip_x(data["test"]), data[f"tipx_{name}_g{gamma}"], 1e-4)
        caps = CapSAdapter(alpha, beta, gamma, delta, published=True).fit(texts, examples)
        assert_close(divergences(caps.log_distribution(data["test"]), caps.divergences.logs), data["kl_caps"], 1e-4)
        assert_close(caps(data["test"]), data[f"caps_{name}_g{gamma}_d{delta}"], 1e-4)
        without = replace(caps, divergences=None)
        assert_close(without(data["test"]), data[f"m_adapter_f_{name}_d{delta}"], 1e-4)


def with_captions(examples):
    return examples._replace(captions=F.normalize(examples.vectors + units(len(examples.vectors), 12, seed=4), dim=1))


METHODS = [TipAdapter(), TipAdapter(epochs=3), TIPX(), CapSAdapter()]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_one_vector_is_answered_as_a_thousand(method):
    texts, examples, _ = few_shot_task()
    fitted = method.fit(texts, with_captions(examples), 20.0)
    many = units(1000, 12, seed=7)
    whole = fitted(many)
    torch.testing.assert_close(torch.cat([fitted(some) for some in many.split(7)]), whole)
    torch.testing.assert_close(fitted(many[3]), whole[3])
    torch.testing.assert_close(fitted(many.reshape(10, 10, 10, 12)), whole.reshape(10, 10, 10, 3))


def test_the_published_ranges_depend_on_the_other_vectors():
    """What the inductive mode is for: the published one answers differently alone and among others."""
    texts, examples, _ = few_shot_task()
    many = units(1000, 12, seed=7)
    published = TIPX(1.0, 5.0, 2.0, published=True).fit(texts, examples)
    assert (published(many[:2]) - published(many)[:2]).abs().max() > 0.1


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_is_chosen_helps_on_other_examples(method):
    texts, examples, test = few_shot_task()
    examples = with_captions(examples)
    before = likelihood_loss(TextClassifier(texts, 20.0)(test.vectors), test.labels)
    after = likelihood_loss(method.fit(texts, examples, 20.0)(test.vectors), test.labels)
    assert after < before - 0.1


def test_training_the_keys_lowers_the_loss_of_the_examples():
    texts, examples, _ = few_shot_task()
    cache = TipAdapter(1.0, 5.5).fit(texts, examples, 20.0)
    trained = trained_keys(cache, examples, 20)
    losses = [likelihood_loss(one(examples.vectors), examples.labels) for one in (cache, trained)]
    assert losses[1] < losses[0]
    again = TipAdapter(1.0, 5.5, epochs=20).fit(texts, examples, 20.0)
    assert torch.equal(again.keys, trained.keys)
    assert not again.keys.requires_grad


def test_a_class_without_examples_is_told_by_its_texts():
    """The reference's one-hot vectors lack the last column then."""
    texts, examples, _ = few_shot_task()
    kept = examples.chosen(examples.labels < 2)
    vectors = units(5, 12, seed=3)
    fitted = TipAdapter(1.0, 5.5).fit(texts, kept, 20.0)
    torch.testing.assert_close(fitted(vectors)[:, 2], TextClassifier(texts, 20.0)(vectors)[:, 2])
    assert TIPX().fit(texts, kept, 20.0)(vectors).isfinite().all()


def test_a_class_without_a_query_does_no_harm():
    """A background that a threshold finds has no text: its logit is −∞, and the others are numbers."""
    vocabulary = Vocabulary.parse("a, b, background")
    texts = TextEmbeddings(units(2, 12), torch.arange(2), vocabulary, MODEL, "none")
    examples = Examples(units(8, 12, seed=2), torch.arange(8) % 2, MODEL)
    for method in (TIPX(), TIPX(1.0, 2.0, 3.0, published=True), TipAdapter()):
        logits = method.fit(texts, examples, 20.0)(units(4, 12, seed=3))
        assert logits[:, :2].isfinite().all()
        assert (logits[:, 2] == -torch.inf).all()


def test_one_example_a_class_leaves_the_published_start():
    texts, examples, _ = few_shot_task(shots=1)
    fitted = TIPX().fit(texts, examples, 20.0)
    assert (fitted.temperature, fitted.alpha, fitted.beta, fitted.divergences.gamma) == (20.0, 1.0, 5.5, 0.1)


def test_vectors_that_are_all_alike_have_an_answer():
    texts, examples, _ = few_shot_task(shots=2)
    alike = examples._replace(vectors=examples.vectors[:1].expand_as(examples.vectors))
    for method in (TIPX(), TipAdapter(epochs=2), CapSAdapter()):
        fitted = method.fit(texts, alike._replace(captions=alike.vectors), 20.0)
        assert fitted(units(4, 12)).isfinite().all()
    alone = examples.chosen(torch.arange(6) == 0)
    assert TIPX(1.0, 5.0, 2.0).fit(texts, alone, 20.0)(units(4, 12)).isfinite().all()


def test_weights_of_examples_are_their_votes():
    texts, examples, _ = few_shot_task()
    twice = Examples(*(torch.cat([one, one]) for one in examples[:2]), MODEL, weights=torch.full((48,), 0.5))
    vectors = units(6, 12, seed=3)
    expected = TipAdapter(1.0, 5.5).fit(texts, examples)(vectors)
    torch.testing.assert_close(TipAdapter(1.0, 5.5).fit(texts, twice)(vectors), expected)


def test_the_spread_is_that_of_examples_from_each_other():
    vectors = units(5, 12)
    logs = units(5, 3, seed=1).log_softmax(1)
    found = [(i, j) for i in range(5) for j in range(5) if i != j]
    kl = [float((logs[i].exp() * (logs[i] - logs[j])).sum()) for i, j in found]
    cosine = [float(vectors[i] @ vectors[j]) for i, j in found]
    expected = ((min(kl), max(kl)), (min(cosine), max(cosine)))
    for one, other in zip(spread_of_examples(logs, vectors, vectors), expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    assert rescaled(torch.tensor([0.0, 1.0]), (0.0, 2.0), (3.0, 7.0)).tolist() == [3.0, 5.0]


def test_bad_settings_are_named():
    with pytest.raises(UsageError, match="tip-adapter: give all of alpha, beta, or none"):
        TipAdapter(alpha=1.0)
    with pytest.raises(UsageError, match="beta is 0 or more; got nan"):
        TipAdapter(1.0, float("nan"))
    with pytest.raises(UsageError, match="epochs are rounds"):
        TipAdapter(epochs=-1)
    with pytest.raises(UsageError, match="is to be given: alpha, beta, gamma"):
        TIPX(published=True)
    with pytest.raises(UsageError, match="is to be given: alpha, beta, gamma, delta"):
        CapSAdapter(published=True)
    with pytest.raises(UsageError, match="share from 0 to 1; got 2"):
        CapSAdapter(1.0, 1.0, 1.0, 2.0)
    texts, examples, _ = few_shot_task()
    with pytest.raises(UsageError, match="wants a caption of each example"):
        CapSAdapter().fit(texts, examples)
