"""What every method refuses, and what every registered method has in common."""

import pytest
import torch
from toys.few_examples import MODEL, few_shot_task

from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.classes import Classes, Head
from densevl.classifiers.contracts import Classifier, ClassifierMethod, check_classifier
from densevl.core.errors import UsageError
from densevl.core.registry import build

OURS = [
    "caps-adapter", "cooked", "linear-probe", "nearest", "neighbours", "nmtune", "tip-adapter", "tip-adapter-f", "tip-x"
]  # fmt: skip
OF_EACH = ["cooked", "linear-probe", "nearest", "neighbours", "nmtune"]


def task():
    texts, examples, test = few_shot_task()
    return texts, examples._replace(captions=examples.vectors, space="dense: x"), test


@pytest.mark.parametrize("name", OURS)
def test_a_method_makes_a_classifier_of_its_space(name):
    texts, examples, test = task()
    method = build(CLASSIFIERS, name)
    assert isinstance(method, ClassifierMethod)
    assert name.removesuffix("-f") in method.name
    assert method.name == build(CLASSIFIERS, name).name
    fitted = method.fit(texts, examples, 20.0)
    assert isinstance(fitted, Classifier)
    assert (fitted.vocabulary, fitted.model_id, fitted.space) == (texts.vocabulary, MODEL, "dense: x")
    check_classifier(fitted, MODEL, "dense: x")
    with pytest.raises(UsageError, match="make them anew"):
        check_classifier(fitted, MODEL, "regions: y")
    logits = fitted(test.vectors)
    assert logits.isfinite().all()
    assert (logits.argmax(1) == test.labels).float().mean() > 0.9
    assert not logits.requires_grad


@pytest.mark.parametrize("name", OURS)
def test_a_file_gives_back_what_a_method_made(name, tmp_path):
    texts, examples, test = task()
    fitted = build(CLASSIFIERS, name).fit(texts, examples, 20.0)
    before = Classes(texts.vocabulary, {"regions": Head(fitted, 12)})
    before.save(tmp_path / "taught")
    after = Classes.load(tmp_path / "taught")
    assert type(after.head("regions")) is type(fitted)
    assert torch.equal(after.head("regions")(test.vectors), fitted(test.vectors))
    assert after.head("regions").space == "dense: x"
    assert after.digest == before.digest


@pytest.mark.parametrize("name", OURS)
def test_a_method_works_where_no_gradients_are_kept(name):
    texts, examples, _ = task()
    with torch.inference_mode():
        inside = examples._replace(vectors=examples.vectors.clone(), captions=examples.vectors.clone())
        first = build(CLASSIFIERS, name).fit(texts, inside, 20.0)(examples.vectors)
    torch.testing.assert_close(first, build(CLASSIFIERS, name).fit(texts, examples, 20.0)(examples.vectors))


@pytest.mark.parametrize("name", OURS)
def test_a_method_answers_for_vectors_that_are_all_alike(name):
    texts, examples, _ = task()
    alike = examples.vectors[:1].expand_as(examples.vectors)
    fitted = build(CLASSIFIERS, name).fit(texts, examples._replace(vectors=alike, captions=alike), 20.0)
    assert fitted(examples.vectors).isfinite().all()


@pytest.mark.parametrize("name", OURS)
def test_what_cannot_be_learnt_from_is_refused(name):
    texts, examples, _ = task()
    method = build(CLASSIFIERS, name)
    with pytest.raises(UsageError, match="learns from examples, and there are none"):
        method.fit(texts)
    with pytest.raises(UsageError, match="learns from examples, and there are none"):
        method.fit(texts, examples.chosen(examples.labels < 0))
    with pytest.raises(UsageError, match="'other@2' and the texts of 'tiny@1'; take the same model"):
        method.fit(texts, examples._replace(model_id="other@2"))
    with pytest.raises(UsageError, match=r"24 examples want as many labels from 0 to 2; got 24 from 1 to 3"):
        method.fit(texts, examples._replace(labels=examples.labels + 1))
    with pytest.raises(UsageError, match="24 examples want as many labels"):
        method.fit(texts, examples._replace(labels=examples.labels[:5]))
    spoiled = examples.vectors.clone()
    spoiled[9, 3] = torch.nan
    with pytest.raises(UsageError, match=r"the vector of example 9 \(class 1\) is not finite \(1 of 24\)"):
        method.fit(texts, examples._replace(vectors=spoiled))
    with pytest.raises(UsageError, match=r"the caption of example 9 \(class 1\) is not finite"):
        method.fit(texts, examples._replace(captions=spoiled))


@pytest.mark.parametrize("name", OF_EACH)
def test_a_class_without_examples_is_refused_where_texts_do_not_tell_it(name):
    texts, examples, _ = task()
    with pytest.raises(UsageError, match="wants an example of each class; there is none of class 1, class 2"):
        build(CLASSIFIERS, name).fit(texts, examples.chosen(examples.labels < 1))
