"""RADSeg's two affinities against the outputs of its published code."""

import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from toys.dense_golden import assert_close, outputs, tokens
from toys.golden import rules

from densevl.core.attention import attend, project
from densevl.dense.readouts.radseg import RADSegReadout, aggregate, ask_again
from densevl.encoders.contracts import LastBlock
from densevl.encoders.towers.timm import TimmBlock


def block_by_rule(width: int, heads: int, scaled: bool) -> TimmBlock:
    """A block whose attention has weights made by rule, and whose other parts leave tokens as they are."""
    block = Block(width, heads, qkv_bias=True, init_values=0.5 if scaled else None).eval().requires_grad_(False)
    for name, value in block.attn.named_parameters():
        value.copy_(torch.from_numpy(rules().rule_weight(f"radseg.{name}", value.shape)))
    if scaled:
        block.ls1.gamma.copy_(torch.linspace(0.2, 1, width))
    block.norm1, block.mlp = torch.nn.Identity(), torch.nn.Identity()
    return TimmBlock(block)


@pytest.mark.parametrize("scaled", [False, True])
def test_both_affinities(scaled):
    """Layer scale, which C-RADIO v3 has, does not enter in the affinity."""
    case = outputs("radseg")
    name = f"dense-{outputs('lposs_patches')['image'].split('-')[1]}-radseg"
    grid, dim = tuple(case["grid"].tolist()), case["dim"]
    prefix = torch.from_numpy(rules()._normal(f"{name}.prefix", (case["prefix"], dim)))
    x = F.layer_norm(torch.cat([prefix, tokens(name, grid, dim).flatten(1).T]), (dim,))[None]
    block = block_by_rule(dim, case["heads"], scaled)
    heads = block.qkv(x)
    mixed = ask_again(project(block, attend(*heads)), heads[2], case["scaling"])
    attended = project(block, mixed)
    assert_close(attended[0, :, ::4], case["attended_sub"])
    patches = attended[:, case["prefix"] :].mT.unflatten(2, grid)
    assert_close(aggregate(patches, case["scaling"])[0, ::4], case["aggregated_sub"])

    read = RADSegReadout(case["scaling"], splice=False)(LastBlock(x, block, grid, case["prefix"]))
    once = x + block.out(mixed)
    once = once + block.mlp(block.norm_2(once))
    torch.testing.assert_close(read.grid, aggregate(once[:, case["prefix"] :].mT.unflatten(2, grid), case["scaling"]))
