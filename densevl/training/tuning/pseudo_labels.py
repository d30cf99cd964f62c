"""Labels without labels: what class texts are most certain of teaches a small network on a second encoder.

Source: Imam et al., CLIP meets DINO for Tuning Zero-Shot Classifier using Unlabeled Image Collections (NoLA), 2024,
https://arxiv.org/abs/2411.19346; fazliimam/NoLA at commit ffd99ac (no licence: facts only). With n examples and K
classes, ``k = max(16, ⌊0.2 n / K⌋)``. Each example has the class that its texts make most probable; of each class the
k most probable examples are kept. On the vectors of these by a second encoder a network, linear 256 relu linear, learns
the classes by Adam, 1e-3, 50 epochs. Its answers are the labels of all examples.

Where we differ: no labelled example stops anything, or chooses an epoch; the second encoder normalises images as it was
trained to, and not as CLIP; vectors of the second encoder are standardised, since encoders differ in their scale.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from densevl.core.errors import UsageError, shortened

__all__ = ["Certain", "certain_examples", "count_each", "pseudo_labels"]

LEAST, SHARE = 16, 0.2
"""Examples of a class that are kept at least, and as a share of those that it would have if all had equally many."""

HIDDEN, RATE, EPOCHS, BATCH = 256, 1e-3, 50, 64


class Certain(NamedTuple):
    """Examples whose class is most certain, class by class, the most certain first.

    Attributes:
        places: of the examples.
        labels: class of each.
        confidence: probability of the class.
    """

    places: Int[Tensor, " m"]
    labels: Int[Tensor, " m"]
    confidence: Float[Tensor, " m"]


def count_each(examples: int, classes: int) -> int:
    """Examples of each class that are kept at most.

    Args:
        examples: number of all.
        classes: number of them.
    """
    return max(LEAST, int(SHARE * examples / classes))


def certain_examples(probabilities: Float[Tensor, "n k"], most: int) -> Certain:
    """The most certain examples of each class, among those that have it.

    Args:
        probabilities: of the classes, of each example.
        most: examples of a class; one that fewer have gets fewer.
    """
    confidence, labels = probabilities.max(dim=1)
    places = []
    for label in range(probabilities.shape[1]):
        own = (labels == label).nonzero()[:, 0]
        places.append(own[confidence[own].argsort(descending=True, stable=True)[:most]])
    found = torch.cat(places)
    return Certain(found, labels[found], confidence[found])


def pseudo_labels(
    probabilities: Float[Tensor, "n k"],
    features: Float[Tensor, "n f"],
    names: Sequence[str],
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Int[Tensor, " n"]:
    """Labels of examples, of which none had one.

    Args:
        probabilities: of the classes, of each example, by their texts.
        features: of each example by a second encoder.
        names: of the classes, for errors.
        epochs: rounds of training.
        seed: of the network and of the order of the examples.

    Raises:
        UsageError: where the texts find fewer than two classes among the examples, or features are not finite.
    """
    if not features.isfinite().all():
        raise UsageError("the second encoder gives vectors that are not finite; take another as guide")
    certain = certain_examples(probabilities, count_each(*probabilities.shape))
    kinds = certain.labels.unique()
    if len(kinds) < 2:
        found = ", ".join(names[int(kind)] for kind in kinds)
        raise UsageError(
            f"every example looks most like {found!r} of {shortened(', '.join(names), 80)}, so that there is nothing "
            "to tell apart; give images of two of the classes or more"
        )
    scaled = (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-6)
    network = _trained(scaled[certain.places], certain.labels, len(names), epochs, seed)
    with torch.no_grad():
        return network(scaled).argmax(dim=1)


@torch.enable_grad()
def _trained(
    features: Float[Tensor, "m f"], labels: Int[Tensor, " m"], classes: int, epochs: int, seed: int
) -> nn.Sequential:
    """The network that learnt labels."""
    width, draw = features.shape[1], torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)).to(features.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in tqdm(range(epochs), desc="labels", delay=2, leave=False, disable=None):
        for batch in torch.randperm(len(features), generator=draw).split(BATCH):
            some = batch.to(features.device)
            loss = F.cross_entropy(network(features[some]), labels[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network
