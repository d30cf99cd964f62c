"""The four questions that dense features are asked, and how well linear probes of any features answer them.

Presence and counting read the mean of the grid, localisation each cell by itself, free space each column from its foot
to its top. What a blind answer scores stands beside them: *chance*, the best that is known without the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.metrics.primitives import Figures, figures_of_any, figures_of_one
from densevl.training.probing.probe import EPOCHS, fit_probe
from densevl.training.probing.targets import MOST, STEPS, Targets

__all__ = ["PRIMITIVES", "Split", "chance", "probe_primitives", "split_images"]

PRIMITIVES: Mapping[str, str] = {
    "presence": "which things are there",
    "localisation": "which things are in each cell",
    "count": "how many things there are",
    "free space": "how far it is free from the foot of each column",
}
"""The questions, by name."""


@dataclass(frozen=True)
class Split:
    """Images that train, and images that are judged.

    Attributes:
        trained: index of each that trains.
        judged: index of each that is judged.
    """

    trained: Int[Tensor, " n"]
    judged: Int[Tensor, " m"]


def split_images(count: int, share: int | float = 0.6, seed: int = 0) -> Split:
    """Some of so many images to train, the others to be judged.

    Args:
        count: of images.
        share: of them that train, in (0, 1).
        seed: of the choice.

    Raises:
        UsageError: where none would train, or none would be judged.
    """
    trained = round(share * count)
    if not 0 < trained < count:
        raise UsageError(f"a share of {share:g} of {count} images leaves none to train or none to judge; give more")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return Split(order[:trained].sort().values, order[trained:].sort().values)


def probe_primitives(
    grids: Float[Tensor, "n c side side"], targets: Targets, split: Split, epochs: int = EPOCHS, seed: int = 0
) -> dict[str, Figures]:
    """How well linear probes answer each question.

    Args:
        grids: features of each image, pooled to the grid of the targets.
        targets: the answers.
        split: which images train, and which are judged.
        epochs: times that each image is seen.
        seed: of the order of the images.

    Raises:
        UsageError: where a number is not finite.
    """
    means, cells = grids.mean((2, 3))[:, None], grids.flatten(2).mT
    columns = grids.permute(0, 3, 1, 2).flatten(2)
    classes = targets.presence.shape[1]
    asked = {
        "presence": (means, targets.presence[:, None], classes),
        "localisation": (cells, targets.localisation, classes),
        "count": (means, targets.number[:, None], MOST + 1),
        "free space": (columns, targets.free, STEPS + 1),
    }
    found = {}
    for name, (inputs, wanted, outputs) in asked.items():
        probe = fit_probe(inputs[split.trained], wanted[split.trained], outputs, epochs, seed)
        logits, truth = probe(inputs[split.judged]).flatten(0, 1), wanted[split.judged].flatten(0, 1)
        if truth.dtype == torch.bool:
            found[name] = figures_of_any(logits.numpy(), truth.numpy())
        else:
            found[name] = figures_of_one(logits.argmax(1).numpy(), truth.numpy())
    return found


def chance(targets: Targets, split: Split) -> dict[str, Figures]:
    """What blind answers score: that everything is everywhere, and what is most common among the images that train.

    Args:
        targets: the answers.
        split: which images train, and which are judged.
    """
    found = {}
    for name, wanted in (("presence", targets.presence[:, None]), ("localisation", targets.localisation)):
        truth = wanted[split.judged].flatten(0, 1)
        found[name] = figures_of_any(torch.ones_like(truth, dtype=torch.float32).numpy(), truth.numpy())
    for name, wanted in (("count", targets.number[:, None]), ("free space", targets.free)):
        truth, common = wanted[split.judged].flatten(), wanted[split.trained].flatten().mode().values
        found[name] = figures_of_one(common.expand_as(truth).numpy(), truth.numpy())
    return {name: found[name] for name in PRIMITIVES}
