"""Heads: calibration by held-out images, and going on from earlier sums."""

import math

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.contracts import Examples, SumClassifier
from densevl.classifiers.gda_prior import GDAPrior
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.tasks.teaching.fitting import fit_head, method_of

MODEL, DIM = "tiny@1", 8


def drawn(images=12, spread=0.7, seed=0, classes=3):
    """An example of each class in each image, which has a vector of its own that all its examples share."""
    draw = torch.Generator().manual_seed(seed)
    means = F.normalize(torch.randn(classes, DIM, generator=torch.Generator().manual_seed(7)), dim=1)
    words = Vocabulary("drawn", tuple((f"class {i}",) for i in range(classes)))
    texts = TextEmbeddings(means, torch.arange(classes), words, MODEL, "none")
    labels = torch.arange(classes).repeat(images)
    groups = torch.arange(images).repeat_interleave(classes)
    noise = spread * torch.randn(len(labels), DIM, generator=draw)
    return texts, Examples(F.normalize(means[labels] + noise, dim=1), labels, MODEL, "regions: x", groups)


def test_probabilities_are_right_as_often_as_they_say():
    texts, examples = drawn(images=60)
    head, held = fit_head("gda-prior", texts, examples)
    assert head.facts["method"] == "gda-prior"
    assert head.facts["settings"] == {"kappa": 4.0}
    found = head.facts["held_out"]
    assert found["examples"] == 180
    assert 0.6 < found["accuracy"] < 1
    assert found["ece"] < 0.08
    _, fresh = drawn(images=400, seed=5)
    probabilities = head.classifier(fresh.vectors).softmax(1)
    right = (probabilities.argmax(1) == fresh.labels).double().mean()
    assert float(probabilities.max(1).values.mean()) == pytest.approx(float(right), abs=0.05)
    assert held.probabilities.shape == (180, 3)


def test_an_image_is_never_judged_by_what_it_taught():
    """Labels that only the image tells cannot be told of an image that is held out."""
    draw = torch.Generator().manual_seed(0)
    own = F.normalize(torch.randn(30, 64, generator=draw), dim=1)
    labels = torch.randint(0, 2, (30,), generator=draw).repeat_interleave(4)
    vectors = F.normalize(own.repeat_interleave(4, 0) + 0.01 * torch.randn(120, 64, generator=draw), dim=1)
    words = Vocabulary.parse("one, two")
    none = TextEmbeddings(torch.zeros(0, 64), torch.zeros(0, dtype=torch.long), words, MODEL, "none")
    head, held = fit_head(
        GDAPrior(0.0), none, Examples(vectors, labels, MODEL, groups=torch.arange(30).repeat_interleave(4))
    )
    assert (head.classifier(vectors).argmax(1) == labels).double().mean() > 0.95
    assert held.facts["accuracy"] < 0.8


def test_views_are_taught_and_not_judged():
    texts, examples = drawn()
    count = len(examples.labels)
    views = Examples(
        examples.vectors.repeat(2, 1), examples.labels.repeat(2), MODEL, "regions: x", examples.groups.repeat(2),
        torch.full((2 * count,), 0.5), torch.arange(count).repeat(2),
    )  # fmt: skip
    _, held = fit_head("gda-prior", texts, views)
    assert held.examples.tolist() == list(range(count))


def test_one_image_can_be_judged_by_nothing():
    texts, examples = drawn(images=1)
    head, held = fit_head("gda-prior", texts, examples)
    assert held is None
    assert "held_out" not in head.facts


def test_one_example_a_class_is_judged_by_the_texts():
    texts, examples = drawn(images=3)
    alone = examples.chosen(torch.tensor([0, 4, 8]))  # each class in an image of its own
    _, held = fit_head("gda-prior", texts, alone)
    assert held.facts["examples"] == 3


@pytest.mark.parametrize("method", ["gda-prior", "gda", "gda-stacked"])
def test_adding_is_teaching_all_at_once(method):
    """But for the temperature, which each part has measured for itself."""
    texts, examples = drawn()
    parts = [examples.chosen(examples.groups < 5), examples.chosen(examples.groups >= 5)]
    before, _ = fit_head(method, texts, parts[0])
    own = {"type": before.facts["method"], **before.facts["settings"]}
    after, _ = fit_head(own, texts, parts[1], before=before)
    whole, _ = fit_head(own, texts, examples)
    points = torch.randn(20, DIM)
    one, two = (head.classifier(points) * head.facts["temperature"] for head in (after, whole))
    torch.testing.assert_close(one - one[:, :1], two - two[:, :1], rtol=1e-3, atol=1e-3)
    weight = 15 / 36
    expected = weight * math.log(before.facts["temperature"]) + (1 - weight) * math.log(
        after.facts["held_out"]["temperature"]
    )
    assert math.log(after.facts["temperature"]) == pytest.approx(expected, abs=0.2)


def test_methods_without_sums_cannot_go_on():
    texts, examples = drawn()
    before, _ = fit_head("gda-prior", texts, examples)
    with pytest.raises(UsageError, match=r"keeps no sums .* teach all examples together"):
        fit_head("linear-probe", texts, examples, before=before)
    with pytest.raises(UsageError, match="keeps no sums"):
        fit_head({"type": "gda", "shrink": False}, texts, examples, before=before)
    with pytest.raises(UsageError, match="were made for"):
        fit_head("gda-prior", texts, examples._replace(space="regions: y"), before=before)


def test_every_method_makes_a_head():
    texts, examples = drawn(images=8)
    for method in ("tip-adapter", "nearest", "linear-probe"):
        head, _ = fit_head(method, texts, examples)
        assert head.sums is None
        assert isinstance(head.classifier, SumClassifier) or head.dim == DIM


def test_unknown_methods_are_named():
    with pytest.raises(UsageError, match="unknown"):
        method_of("magic")
