"""Gaussian classes with the texts as a prior: the formula, one example a class, adding examples, bad vectors."""

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.contracts import Examples
from densevl.classifiers.gda import GDA
from densevl.classifiers.gda_prior import KAPPAS, GDAPrior
from densevl.classifiers.sums import Sums
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

MODEL, DIM = "tiny@1", 12


def drawn(shots=5, classes=4, seed=0, spread=0.3, informative=True):
    """Texts and examples of classes that lie round their means, and the means."""
    draw = torch.Generator().manual_seed(seed)
    means = F.normalize(torch.randn(classes, DIM, generator=draw), dim=1)
    said = means if informative else F.normalize(torch.randn(classes, DIM, generator=draw), dim=1)
    words = Vocabulary("drawn", tuple((f"class {i}",) for i in range(classes)))
    shifted = F.normalize(0.3 * said + torch.ones(DIM), dim=1)  # texts lie elsewhere, and closer together
    texts = TextEmbeddings(shifted, torch.arange(classes), words, MODEL, "none")
    labels = torch.arange(classes).repeat(shots)
    vectors = F.normalize(means[labels] + spread * torch.randn(len(labels), DIM, generator=draw), dim=1)
    return texts, Examples(vectors, labels, MODEL, "regions: test"), means


def accuracy(classifier, means, seed=9, count=400, spread=0.3):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(means)).repeat(count // len(means))
    vectors = F.normalize(means[labels] + spread * torch.randn(len(labels), DIM, generator=draw), dim=1)
    return float((classifier(vectors).argmax(1) == labels).double().mean())


@pytest.mark.parametrize("kappa", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("shots", "sphere"), [(1, 1.0), (5, 12 / 20), (30, 12 / 120)])
def test_the_answers_are_those_of_the_formula(kappa, shots, sphere):
    if kappa == 0 and shots == 1:
        kappa = 0.5  # without the texts one example a class leaves no covariance
    texts, examples, _ = drawn(shots)
    vectors, labels, k = examples.vectors.double(), examples.labels, len(texts.vocabulary)
    t = F.normalize(texts.vectors.double(), dim=1)
    own = torch.stack([vectors[labels == i].mean(0) for i in range(k)])
    scale = ((own - own.mean(0)) ** 2).sum(1).mean().sqrt() / ((t - t.mean(0)) ** 2).sum(1).mean().sqrt()
    moved = own.mean(0) + scale * (t - t.mean(0))
    mu = torch.stack([(vectors[labels == i].sum(0) + kappa * moved[i]) / (shots + kappa) for i in range(k)])
    centred = vectors - mu[labels]
    sigma = centred.mT @ centred / (len(vectors) - 1)
    precision = DIM * torch.linalg.pinv((len(vectors) - 1) * sigma + sphere * sigma.trace() * torch.eye(DIM).double())
    points = torch.randn(6, DIM).double()
    expected = points @ precision @ mu.mT - (mu @ precision * mu).sum(1) / 2
    found = GDAPrior(kappa).fit(texts, examples)(points.float())
    expected, found = expected - expected[:, :1], (found - found[:, :1]).double()
    factor = (expected * found).sum() / (found * found).sum()  # logits are of one scale, whatever N is
    torch.testing.assert_close(factor * found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert factor > 0


def test_one_example_a_class_is_enough_and_the_texts_help():
    gains = []
    for seed in range(5):
        texts, examples, means = drawn(shots=1, seed=seed, spread=0.5)
        gains.append(
            accuracy(GDAPrior().fit(texts, examples), means, spread=0.5)
            - accuracy(GDAPrior(0.0).fit(texts, examples), means, spread=0.5)
        )
    assert sum(gains) / 5 > 0.02


def test_many_examples_say_more_of_the_covariance_than_a_sphere():
    draw = torch.Generator().manual_seed(0)
    texts, examples, means = drawn(shots=50)
    along = F.normalize(means[0] - means[1], dim=0)  # classes 0 and 1 are told apart by what varies most
    noise = torch.randn(len(examples.labels), 1, generator=draw) * along
    stretched = examples._replace(vectors=means[examples.labels] + noise + 0.3 * examples.vectors)
    sums = Sums.counted(GDAPrior(), stretched, 4)
    centred = stretched.vectors.double() - sums.means[stretched.labels]
    exact = sums.means @ torch.linalg.inv(centred.mT @ centred)

    def off(weight):
        wrong, right = weight.double() - weight.double().mean(0), exact - exact.mean(0)
        return float(1 - F.cosine_similarity(wrong, right).mean())

    published = GDA().of_sums(texts, sums).members[1]
    assert off(GDAPrior(0.0).of_sums(texts, sums).weight) < 0.5 * off(published.weight)


def test_words_that_the_model_does_not_know_have_no_prior():
    texts, examples, means = drawn()
    some = TextEmbeddings(texts.vectors[:2], torch.tensor([0, 2]), texts.vocabulary, MODEL, "none")
    none = TextEmbeddings(torch.zeros(0, DIM), torch.zeros(0, dtype=torch.long), texts.vocabulary, MODEL, "none")
    assert accuracy(GDAPrior().fit(some, examples), means) > 0.8
    points = torch.randn(5, DIM)
    found, plain = GDAPrior().fit(none, examples)(points), GDAPrior(0.0).fit(texts, examples)(points)
    torch.testing.assert_close(found, plain)


def test_a_class_without_examples_lies_where_its_text_does():
    texts, examples, means = drawn()
    rest = examples.chosen(examples.labels > 0)
    assert accuracy(GDAPrior().fit(texts, rest), means) > 0.8
    without = TextEmbeddings(texts.vectors[1:], torch.arange(1, 4), texts.vocabulary, MODEL, "none")
    with pytest.raises(UsageError, match="no example of class 0, and no text says what it is"):
        GDAPrior().fit(without, rest)


@pytest.mark.parametrize("method", [GDAPrior(), GDAPrior(0.0), GDAPrior(1.0), GDA(), GDA(0.3)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_adding_examples_is_teaching_all_at_once(method, seed):
    texts, examples, _ = drawn(seed=seed)
    order = torch.randperm(len(examples.labels), generator=torch.Generator().manual_seed(seed))
    first, second = (examples.chosen(part) for part in order.split([7, len(order) - 7]))
    both = Sums.counted(method, first, 4) + Sums.counted(method, second, 4)
    points = torch.randn(8, DIM)
    added, whole = method.of_sums(texts, both, 50.0)(points), method.fit(texts, examples, 50.0)(points)
    added, whole = added - added[:, :1], whole - whole[:, :1]
    torch.testing.assert_close(added, whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))


def test_views_of_a_thing_count_as_one_example():
    texts, examples, _ = drawn()
    halves = torch.full((len(examples.labels) * 2,), 0.5)
    twice = Examples(examples.vectors.repeat(2, 1), examples.labels.repeat(2), MODEL, weights=halves)
    points = torch.randn(5, DIM)
    torch.testing.assert_close(GDAPrior().fit(texts, twice)(points), GDAPrior().fit(texts, examples)(points))


def test_held_out_examples_say_what_texts_are_worth():
    texts, examples, _ = drawn(shots=6, informative=False)
    assert GDAPrior(None).settled(texts, examples).kappa <= 1
    texts, examples, _ = drawn(shots=2, spread=0.8)
    assert GDAPrior(None).settled(texts, examples).kappa in KAPPAS[2:]
    texts, examples, _ = drawn(shots=1)
    assert GDAPrior(None).settled(texts, examples) == GDAPrior()  # nothing can be held out


def test_stacking_drops_texts_that_say_nothing():
    texts, examples, _ = drawn(shots=8, informative=False)
    settled = GDA(None).settled(texts, examples, 100.0)
    published = GDA().fit(texts, examples)
    assert settled.text < 0.5 * published.weights[0]
    assert settled.name.startswith("gda(alpha=")


def test_what_cannot_be_told_apart_is_one_error():
    texts, examples, _ = drawn()
    same = examples._replace(vectors=torch.full_like(examples.vectors, DIM**-0.5))
    with pytest.raises(UsageError, match="same vector"):
        GDAPrior(0.0).fit(texts, same)
    broken = examples.vectors.clone()
    broken[3, 2] = torch.nan
    with pytest.raises(UsageError, match="not finite"):
        GDAPrior().fit(texts, examples._replace(vectors=broken))
    with pytest.raises(UsageError, match="there are none"):
        GDAPrior().fit(texts)
    with pytest.raises(UsageError, match="take the same model"):
        GDAPrior().fit(texts, examples._replace(model_id="other@2"))
    with pytest.raises(UsageError, match="0 or more"):
        GDAPrior(-1.0)


def test_examples_that_lie_on_their_means_leave_the_nearest_mean():
    texts, examples, means = drawn(spread=0.0)
    assert accuracy(GDAPrior(0.0).fit(texts, examples), means, spread=0.1) > 0.95
