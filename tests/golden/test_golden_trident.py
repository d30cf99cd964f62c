"""Trident against the outputs of its published code: what SAM's attention gathers, and the features."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from toys.dense_golden import assert_close, assert_features, outputs, picture, tokens
from toys.golden import rules

from densevl.core.features import DenseFeatures
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.trident import TridentReadout, spread_weights
from densevl.tasks.segmentation.windows import WindowPlan

CASES = ("default", "city", "voc20")


@dataclass
class Given:
    """Features by rule in the place of another encoder's."""

    grid: torch.Tensor
    maps: dict[str, torch.Tensor]
    heads: int = 1
    name: str = "given"

    def __call__(self, images: torch.Tensor) -> DenseFeatures:
        return DenseFeatures(self.grid, 16, self.name, maps=self.maps)


def sam_of(case: dict[str, Any]) -> Given:
    image, grid, heads, width = (case[name] for name in ("image", "sam_grid", "sam_heads", "sam_head_dim"))
    grid = tuple(grid.tolist())
    normal = partial(rules()._normal, shape=(heads, grid[0] * grid[1], width))
    query, key = (torch.from_numpy(normal(f"{image}.sam.{part}")) for part in "qk")
    query, key = ((one.transpose(0, 1).flatten(1).mT.unflatten(1, grid))[None] for one in (query / width**0.5, key))
    value = tokens(f"{image}.sam", grid, heads * width)[None]
    return Given(value, {"query": query, "key": key, "value": value}, heads, "sam")


@pytest.mark.parametrize("name", CASES)
def test_features(quick_rule_encoder, name):
    case = outputs(f"trident_{name}")
    image = picture(case)[None]
    plan = WindowPlan(tuple(case["size"].tolist()), case["window"], case["stride"])
    assert (len(plan.ys), len(plan.xs)) == tuple(case["windows"].tolist())
    cells = case["window"] // 16
    proxy = [tokens(f"{case['image']}.proxy.{i}", (cells, cells), case["proxy_dim"]) for i in range(len(plan))]
    readout = TridentReadout(
        Given(torch.stack(proxy), {}),
        sam_of(case),
        beta=case["beta"],
        gamma=case["gamma"],
        cos_fac=case["cos_fac"],
        negative_to_06=case["negative_to_06"],
    )
    dense = DenseEncoder(quick_rule_encoder, readout, positions="plus", border="drop")
    found = dense(plan.crop(image), windows=plan.boxes)
    assert_features(found.grid[0], case)
    assert found.extent == (0, 0, image.shape[3], image.shape[2])


@pytest.mark.parametrize("name", CASES)
def test_what_a_patch_gathers(name):
    case = outputs(f"trident_{name}")
    sam = sam_of(case)
    heads = [one[0].flatten(1).mT.unflatten(1, (sam.heads, -1)).transpose(0, 1) for one in sam.maps.values()]
    found = spread_weights(*heads, case["cos_fac"], case["negative_to_06"])
    assert_close(found[0], case["sam_weights_row0"])
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)))
