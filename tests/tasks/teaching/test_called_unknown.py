"""``--unknown P`` calls about P of known things unknown, whatever the method, the views, and the number of examples."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from toys.few_examples import clusters, texts_of, units

from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import Examples
from densevl.core.errors import UsageError
from densevl.datasets.examples import Example
from densevl.tasks.teaching.fitting import fit_head
from densevl.tasks.teaching.supporting import with_evidence

METHODS = sorted(set(CLASSIFIERS.rows) - {"closed-set", "floss", "text"})
KINDS, WIDTH, VIEWS, SHARE = 4, 12, 3, 0.1
SUMMING = ["gda", "gda-prior"]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "a.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return path


def taught(method, shots, image, seed=0, before=None, first=0):
    """A head of examples with views, each from an image of its own, and what supports it."""
    vectors, labels = clusters(KINDS, shots, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    views = [F.normalize(vectors + 0.05 * torch.randn(vectors.shape, generator=draw), dim=1) for _ in range(VIEWS)]
    numbers = torch.arange(len(labels)).repeat(VIEWS + 1)
    share = torch.full((len(numbers),), 1 / (VIEWS + 1))
    every = torch.cat([vectors, *views])
    examples = Examples(
        every, labels.repeat(VIEWS + 1), "tiny@1", "regions: x", first + numbers, share, numbers, captions=every
    )
    head, held = fit_head(method, texts_of(units(KINDS, WIDTH)), examples, 20.0, before)
    named = [Example(image, f"class {label}", box=(0, 0, 4, 4)) for label in labels.tolist()]
    return with_evidence(head, held, examples, named, before)


def called(head, share=SHARE):
    classes = Classes(head.classifier.vocabulary, {"regions": head}, {"name": "toy"}).with_unknown(share)
    fresh, _ = clusters(KINDS, 300, seed=77)
    return float((classes.head("regions")(fresh).argmax(1) == KINDS).double().mean())


@pytest.mark.parametrize("method", METHODS)
def test_about_the_share_of_the_known_is_called_unknown(method, image):
    assert called(taught(method, 40, image)) == pytest.approx(SHARE, abs=0.07)


@pytest.mark.parametrize("method", SUMMING)
def test_examples_that_are_added_do_not_change_the_share(method, image):
    """Doubts grow with the number of examples; those of the first ones are brought to the scale of all."""
    first = taught(method, 10, image)
    both = taught(method, 40, image, seed=3, before=first, first=1000)
    assert called(both) == pytest.approx(SHARE, abs=0.07)


@pytest.mark.parametrize("shots", [5, 10])
def test_few_examples_keep_the_promise(shots, image):
    rates = [called(taught("gda-prior", shots, image, seed)) for seed in range(6)]
    assert np.mean(rates) == pytest.approx(SHARE, abs=0.05)


def test_what_one_example_of_a_class_cannot_promise_is_refused(image):
    with pytest.raises(UsageError, match=r"--unknown 0\.1 needs 9 held-out examples, and there are 0"):
        called(taught("gda-prior", 1, image))
