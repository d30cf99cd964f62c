"""Labels of taught classes on a feature stack against the classifier applied to each vector."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip

from densevl.classifiers.contracts import LinearClassifier
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stack import FEATURES, FeatureStack
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.stacked import segmentor_of_space, stacked_segmentor

STACK = FeatureStack(("blocks.0", FEATURES), stride=4, short_side=40, window=24, window_stride=16)
NAMES = Vocabulary.parse("scratch, dent, paint")


@pytest.fixture(scope="module")
def encoder():
    return tiny_clip().float()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


def taught(space=STACK.name, model_id="tiny@1"):
    generator = torch.Generator().manual_seed(2)
    weight, bias = 9 * torch.randn(3, 24, generator=generator), torch.randn(3, generator=generator)
    return LinearClassifier(weight, bias, NAMES, model_id, space)


def test_linear_classes_on_a_stack_are_a_convolution(encoder, picture):
    segmentor, classes = stacked_segmentor(encoder, STACK), taught()
    (encoded,) = segmentor.encode([picture])
    grid = encoded.features.grid
    assert len(grid) == len(encoded.plan) > 1
    convolved = F.conv2d(grid, classes.weight[:, :, None, None], classes.bias).softmax(1)
    torch.testing.assert_close(segmentor.probabilities(encoded, classes), convolved, atol=1e-5, rtol=0)
    each = torch.stack([classes(vector) for vector in grid.movedim(1, -1).reshape(-1, 24)])
    torch.testing.assert_close(convolved.movedim(1, -1).reshape(-1, 3), each.softmax(1), atol=1e-5, rtol=0)


def test_labels_are_the_best_scores(encoder, picture):
    segmentor, classes = segmentor_of_space(encoder, STACK.name), taught()
    (encoded,) = segmentor.encode([picture])
    labels, best = segmentor.label(encoded, classes)
    scores = segmentor.scores(encoded, classes)
    assert labels.shape == (50, 70)
    torch.testing.assert_close(best, scores.amax(0), atol=1e-5, rtol=0)
    assert len(labels.unique()) > 1
    assert (scores.argmax(0) == labels).float().mean() > 0.999


def test_images_together_are_as_one_by_one(encoder, picture):
    segmentor, classes = stacked_segmentor(encoder, STACK), taught()
    pictures = [picture, picture[:37, :41].copy(), picture[::-1].copy()]
    together = segmentor.encode(pictures)
    for one, encoded in zip(pictures, together, strict=True):
        (alone,) = segmentor.encode([one])
        torch.testing.assert_close(encoded.features.grid, alone.features.grid, atol=1e-5, rtol=0)
        assert torch.equal(segmentor.label(encoded, classes)[0], segmentor.label(alone, classes)[0])


def test_texts_and_other_spaces_are_refused(encoder, picture):
    segmentor = stacked_segmentor(encoder, STACK)
    (encoded,) = segmentor.encode([picture])
    with pytest.raises(UsageError, match="texts cannot be compared with it"):
        segmentor.label(encoded, segmentor.embed(NAMES))
    other = FeatureStack(("blocks.0", FEATURES), stride=8, short_side=40)
    with pytest.raises(UsageError, match="make them anew"):
        segmentor.label(encoded, taught(other.name))
    with pytest.raises(UsageError, match="take the same model for both"):
        segmentor.label(encoded, taught(model_id="another"))
    plain = Segmentor(encoder, "plain", templates="none", short_side=40)
    with pytest.raises(UsageError, match="make them anew"):
        plain.label(plain.encode([picture])[0], taught())


@pytest.mark.parametrize("space", [None, "prompter"])
def test_classes_that_were_not_taught_for_pixels_are_refused(encoder, space):
    with pytest.raises(UsageError, match=r"were not taught for pixels; teach them with `--for pixels`"):
        segmentor_of_space(encoder, space)
