"""A SAM with seeded weights: whatever its masks are, they must be those of segment_anything."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:  # the shape checks of the tests must see densevl imported after them
    from densevl.regions.mask_makers.sam import Sam


@pytest.fixture(scope="session")
def seeded_sam() -> "Sam":
    """The mini architecture; no part is small enough to be removed."""
    from densevl.encoders.sam.mini import build_mini_sam
    from densevl.regions.mask_makers.sam import Sam

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build_mini_sam()
    with torch.no_grad():  # logits as far from zero as those of a trained model
        for mlp in model.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight *= 100
    return Sam(model, "seeded SAM", "sam-seeded@3", small=0)


@pytest.fixture(scope="session")
def garden() -> np.ndarray:
    """A scene wider than high."""
    from densevl.datasets.scenes import render

    return render(5, 2, (96, 131), "val").image


@pytest.fixture(scope="session")
def mini_sam() -> "Sam":
    """The mini SAM as it is shipped."""
    from densevl.regions.mask_makers.sam import build_sam

    return build_sam("mini-sam")
