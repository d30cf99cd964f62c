"""NoLA: which examples are certain enough, and the loss of their labels."""

import numpy as np
import torch
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden

from densevl.training.tuning.losses.cross_entropy import smoothed_cross_entropy
from densevl.training.tuning.pseudo_labels import certain_examples, count_each


def test_the_certain_examples():
    outputs = adapters_golden("nola")
    probabilities = torch.from_numpy(outputs["probabilities"]).float()
    most = count_each(*probabilities.shape)
    assert most == outputs["k"]
    certain = certain_examples(probabilities, most)
    assert np.array_equal(certain.places, outputs["chosen"])
    assert np.array_equal(certain.labels, outputs["pseudo"])
    assert_agrees(certain.confidence, outputs["confidence"])


def test_the_loss_of_their_labels():
    outputs = adapters_golden("nola")
    logits, targets = torch.from_numpy(outputs["logits"]).float(), torch.from_numpy(outputs["targets"])
    assert_agrees(smoothed_cross_entropy(logits, targets, 0.1), outputs["smoothed_loss"])
