"""VR-LwF: the distillation of images and of the replayed vocabulary, as ZSCL's code computes it.

The file also holds a second reading of the paper, WildCLIP's, whose cross-entropy runs the other way round; it is
checked to be the same function with its arguments exchanged.
"""

import pytest
import torch
import torch.nn.functional as F
from toys.few_examples import arrays, assert_close

from densevl.training.tuning.losses.vr_lwf import distillation

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def vrlwf(shared):
    return arrays(shared, "vrlwf")


@pytest.fixture
def logits(vrlwf):
    """By the current model, with the images that gradients flow to, and by the earlier one."""
    image, scale = vrlwf["image"].clone().requires_grad_(), float(vrlwf["logit_scale"])
    old_image, vocabulary, old_vocabulary = (
        F.normalize(vrlwf[name], dim=1) for name in ("image_old", "vocabulary", "vocabulary_old")
    )
    return image, scale * F.normalize(image, dim=1) @ vocabulary.mT, scale * old_image @ old_vocabulary.mT


def test_images_and_vocabulary_at_the_temperature_of_zscl(vrlwf, logits):
    image, new, old = logits
    found = distillation(old, new, 2.0)
    assert_close(found, vrlwf["loss_zscl_image_T2"], TOLERANCE)
    assert_close(distillation(old.mT, new.mT, 2.0), vrlwf["loss_zscl_text_T2"], TOLERANCE)
    (gradient,) = torch.autograd.grad(found, image)
    assert_close(gradient, vrlwf["grad_zscl_image"], TOLERANCE)


def test_the_other_reading_exchanges_the_models(vrlwf, logits):
    image, new, old = logits
    found = distillation(new, old, 1.0)
    assert_close(found, vrlwf["loss_wildclip"], TOLERANCE)
    (gradient,) = torch.autograd.grad(found, image)
    assert_close(gradient, vrlwf["grad_wildclip"], TOLERANCE)
