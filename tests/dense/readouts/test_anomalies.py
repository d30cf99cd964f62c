from dataclasses import replace

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.readouts import READOUTS
from densevl.dense.readouts.anomalies import AnomalyReadout
from densevl.encoders.contracts import LastBlock
from densevl.encoders.towers.open_clip import OpenClipBlock

LAYERS = {"middle": 2, "early": 1, "summed": (1, 2)}
SC = AnomalyReadout(**LAYERS, neighbours=5)
SFP = build(READOUTS, {"type": "sfp", **LAYERS, "most": 3})


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def blocks():
    torch.manual_seed(0)
    made = [ResidualAttentionBlock(24, 3).eval().requires_grad_(False) for _ in range(4)]
    for value in (value for block in made for value in block.parameters()):
        value.add_(0.3 * torch.randn_like(value))
    return [OpenClipBlock(block) for block in made]


def last(blocks, states, grid, prefix=1):
    states = {**states, -1: states[3], -2: states[2]}
    return LastBlock(states[3], blocks[-1], grid, prefix, states=states, blocks=blocks)


def states(grid, batch=2, prefix=1):
    """Tokens between blocks that are alike from block to block."""
    one = draw(batch, prefix + grid[0] * grid[1], 24)
    return {place: one + 0.3 * draw(*one.shape, seed=place + 1) for place in range(4)}


def plain(readout, read, outliers):
    """Features of one image by loops over pairs of patches, in double precision."""
    layers = {place: tokens[0].double() for place, tokens in read.states.items()}
    height, width = read.grid
    count, cut = height * width, readout.cut
    block = read.blocks[-1].block

    def repaired(tokens):
        found = tokens[1:].clone()
        for p in outliers:
            near = [
                q
                for q in range(count)
                if q not in outliers and max(abs(p // width - q // width), abs(p % width - q % width)) <= 1
            ]
            if near:
                found[p] = tokens[1:][near].mean(0)
        return found

    def cosines(x):
        x = x / x.norm(dim=1, keepdim=True)
        return x @ x.T

    def pooled(weights, x):
        weights = torch.where(weights < cut, 0, weights)
        return weights @ x / (weights.sum(1, keepdim=True) + 1e-6)

    def gated(matrix):
        above = (matrix - matrix.mean()) * readout.gamma
        return torch.where(above < 0, -torch.inf, above).softmax(1)

    def attended(x, terms):
        weight, bias = block.attn.in_proj_weight.double(), block.attn.in_proj_bias.double()
        norm = block.ln_1
        normed = torch.nn.functional.layer_norm(x, (24,), norm.weight.double(), norm.bias.double(), norm.eps)
        heads = dict(zip("qkv", (normed @ weight.T + bias).chunk(3, dim=1), strict=True))
        mixed = []
        for head in range(3):
            some = {letter: each[:, 8 * head : 8 * head + 8] for letter, each in heads.items()}
            matrix = 0
            for term in terms:
                if term == "gate":
                    matrix = matrix + gated(middle)
                elif term == "cut-gate":
                    matrix = matrix + gated(torch.where(middle < cut, 0, middle))
                else:
                    matrix = matrix + (some[term[0]] @ some[term[1]].T / 8**0.5).softmax(1)
            mixed.append(matrix / len(terms) @ some["v"])
        out = block.attn.out_proj
        return torch.cat(mixed, 1) @ out.weight.double().T + out.bias.double()

    middle = cosines(repaired(layers[readout.middle]))
    near = cosines(layers[readout.early][1:])
    tokens, added = pooled(middle, repaired(layers[-1])), sum(layers[place] for place in readout.summed)
    first = attended(tokens, readout.first) + readout.class_weight * layers[-1][0]
    second = attended(added[1:], readout.second) + readout.class_weight * added[0]
    return (pooled(near, first) + pooled(near, second)).T.unflatten(1, read.grid)


@pytest.mark.parametrize("readout", [SC, SFP, replace(SC, share=0.3, cut=0.1, gamma=1, first=("vv", "qk"))])
@pytest.mark.parametrize("grid", [(4, 4), (3, 7), (7, 3)])
def test_features_by_loops_on_any_grid(blocks, readout, grid):
    read = last(blocks, states(grid, 1), grid)
    outliers = readout._outliers(read)[0].nonzero()[:, 0].tolist()
    assert outliers
    torch.testing.assert_close(readout(read)[0].double(), plain(readout, read, outliers), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("readout", [SC, SFP])
def test_a_batch_is_each_image_by_itself(blocks, readout):
    made = states((3, 5))
    made = {place: torch.cat([tokens[:1], 4 * tokens[1:]]) for place, tokens in made.items()}
    both = readout(last(blocks, made, (3, 5)))
    for i in range(2):
        alone = readout(last(blocks, {place: tokens[i : i + 1] for place, tokens in made.items()}, (3, 5)))
        torch.testing.assert_close(both[i : i + 1], alone)


@pytest.mark.parametrize("readout", [SC, SFP])
@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (4, 5)])
def test_patches_that_are_all_the_same(blocks, readout, grid):
    same = {place: draw(1, 2, 24).repeat_interleave(torch.tensor([1, grid[0] * grid[1]]), dim=1) for place in range(4)}
    found = readout(last(blocks, same, grid))
    assert found.isfinite().all()
    torch.testing.assert_close(found, found[..., :1, :1].expand_as(found))


def test_passes_and_poolings_are_settings(blocks):
    read = last(blocks, states((4, 4)), (4, 4))
    found = [
        SC(read),
        replace(SC, summed=())(read),
        replace(SC, pool_before=False)(read),
        replace(SC, pool_after=False)(read),
        replace(SC, class_weight=0)(read),
        SFP(read),
    ]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert (one - other).abs().max() > 1e-3


def test_registers_are_no_patches_and_no_class_token(blocks):
    made = states((3, 4), prefix=3)
    few = {place: torch.cat([tokens[:, :1], tokens[:, 3:]], dim=1) for place, tokens in made.items()}
    torch.testing.assert_close(SC(last(blocks, made, (3, 4), 3)), SC(last(blocks, few, (3, 4))))


def test_depths_that_layers_were_not_published_for(blocks):
    read = last(blocks, states((2, 2)), (2, 2))
    with pytest.raises(UsageError, match=r"of 12, and this one has 4; set readout.middle, readout.summed to numbers"):
        AnomalyReadout(early=1)(read)


def test_a_class_token_is_needed(blocks):
    read = last(blocks, states((2, 2), prefix=0), (2, 2), 0)
    with pytest.raises(UsageError, match=r"and this tower has none; set readout.rule=density and readout.class_weigh"):
        SC(read)
    assert replace(SC, class_weight=0)(read).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rule": "magic"}, "rule of outliers must be one of density, class-attention; got 'magic'"),
        ({"first": ["kq", "own"]}, r"terms of a pass are .* got \['kq', 'own'\] and \['gate', 'kk'\]"),
        ({"second": []}, r"terms of a pass are one or more"),
        ({"summed": [True]}, r"are whole numbers of blocks; got \[None, None, True\]"),
        ({"neighbours": 0}, "outliers take one neighbour or more"),
        ({"share": 1.0}, "outliers take one neighbour or more"),
        ({"most": -1}, "outliers take one neighbour or more"),
    ],
)
def test_settings_that_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        AnomalyReadout(**wrong)


def test_every_setting_is_in_the_name():
    assert "summed=(1, 2)" in SC.name
    assert SC.name != replace(SC, cut=0.5).name
    assert build(READOUTS, "sfp").name.startswith("sc-clip(rule='class-attention'")
