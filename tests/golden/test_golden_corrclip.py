"""CorrCLIP against the outputs of its published code: merged regions, features, the vote."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys.dense_golden import assert_features, cosines, outputs, picture, tokens

from densevl.core.features import DenseFeatures
from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.regions import on_cells
from densevl.dense.readouts.corrclip import CorrCLIPReadout, merge_regions
from densevl.dense.stages.mask_vote import MaskVote

CASES = ("partial", "covered")


@dataclass
class Given:
    """Features by rule in the place of another encoder's."""

    grid: torch.Tensor
    name: str = "given"

    def __call__(self, images: torch.Tensor) -> DenseFeatures:
        return DenseFeatures(self.grid[None], 16, self.name)


def guide(case):
    return tokens(case["proxy"], tuple(case["proxy_grid"].tolist()), case["proxy_dim"])


def regions(case):
    """The regions of a case; the smallest number on the guide's grid counts as none in the published code."""
    numbers = torch.from_numpy(case["regions"].astype(np.int64))
    smallest = on_cells(numbers[None], tuple(case["proxy_grid"].tolist())).min()
    return torch.where(numbers <= smallest, -1, numbers)


@pytest.mark.parametrize("name", CASES)
def test_merged_regions(name):
    case = outputs(f"corrclip_{name}")
    given = guide(case)
    numbers = on_cells(regions(case)[None], given.shape[1:]).flatten()
    merged = merge_regions(F.normalize(given.flatten(1).mT, dim=1), numbers)
    found = [merged[numbers == number].unique().item() for number in numbers[numbers >= 0].unique()]
    assert found == case["merged"].tolist()
    assert (merged[numbers < 0] == -1).all()


@pytest.mark.parametrize("name", CASES)
def test_features_and_vote(quick_rule_encoder, name):
    case = outputs(f"corrclip_{name}")
    dense = DenseEncoder(quick_rule_encoder, CorrCLIPReadout(Given(guide(case))), positions="plus", border="drop")
    found = dense(picture(case)[None], regions=regions(case)[None])
    assert_features(found.grid[0], case)
    size = tuple(case["size"].tolist())
    pixels = F.interpolate(cosines(found.grid[0], case["text"])[None], size, mode="bilinear", align_corners=False)[0]
    voting = torch.from_numpy(case["regions"].astype(np.int64))
    seen = DenseFeatures(found.grid, 16, "x", regions=torch.where(voting == voting.min(), -1, voting)[None])
    labels = MaskVote()(pixels.argmax(0), seen, [(0, 0, size[1], size[0])])
    assert (labels[::4, ::4].numpy() == case["voted_sub"]).mean() >= 0.999
