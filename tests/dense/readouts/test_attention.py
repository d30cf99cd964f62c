"""Attention of terms, by the formulas of the papers in float64."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.registry import build
from densevl.dense.operations.affinity import gate
from densevl.dense.operations.places import neighbour_bias
from densevl.dense.operations.procrustes import polar
from densevl.dense.readouts import READOUTS
from densevl.dense.readouts.attention import AttentionReadout, Term
from densevl.dense.readouts.naclip import NACLIPReadout
from densevl.dense.readouts.pearl import PEARLReadout
from densevl.encoders.contracts import LastBlock
from densevl.encoders.towers.open_clip import OpenClipBlock

GRID, PREFIX, HEADS, WIDTH = (3, 5), 2, 3, 24


@pytest.fixture(scope="module")
def block():
    torch.manual_seed(0)
    made = ResidualAttentionBlock(WIDTH, HEADS).double().eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def guide(grid=(3, 5), count=2, seed=2):
    draw = torch.Generator().manual_seed(seed)
    return DenseFeatures(torch.randn(count, 6, *grid, generator=draw, dtype=torch.float64), 8, "guide")


class Guide(nn.Module):
    """A second encoder; the features come with the last block here."""

    name = "guide"

    def forward(self, images):
        return guide()


def last(block, count=2, described=None):
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randn(count, PREFIX + GRID[0] * GRID[1], WIDTH, generator=draw, dtype=torch.float64)
    return LastBlock(tokens, OpenClipBlock(block), GRID, PREFIX, guide=described)


def projected(block, x):
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    whole = block.ln_1(x) @ weight.T + bias
    return (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in whole.chunk(3, dim=2))


def softmax(scores):
    return (scores.exp()) / scores.exp().sum(-1, keepdim=True)


def out(block, mixed):
    return block.attn.out_proj(mixed.transpose(1, 2).flatten(2))


def on_grid(tokens, grid=GRID):
    return tokens[:, -grid[0] * grid[1] :].mT.unflatten(2, grid)


def kept(block, x, attended):
    x = x + attended
    return x + block.mlp(block.ln_2(x))


def scaled(a, b):
    return a @ b.mT / a.shape[-1] ** 0.5


def test_sclip(block):
    x = last(block).tokens
    q, k, v = projected(block, x)
    attended = out(block, (softmax(scaled(q, q)) + softmax(scaled(k, k))) @ v)
    torch.testing.assert_close(build(READOUTS, "sclip")(last(block)), on_grid(kept(block, x, attended)))


def test_clearclip(block):
    q, _, v = projected(block, last(block).tokens)
    torch.testing.assert_close(
        build(READOUTS, "clearclip")(last(block)), on_grid(out(block, softmax(scaled(q, q)) @ v))
    )


def test_declip(block):
    q, k, v = projected(block, last(block).tokens)
    expected = on_grid(out(block, (softmax(q @ q.mT) + softmax(k @ k.mT)) @ v))
    torch.testing.assert_close(build(READOUTS, "declip")(last(block)), expected)


def test_naclip(block):
    _, k, v = projected(block, last(block).tokens)
    bias = F.pad(neighbour_bias(GRID, 5.0, torch.device("cpu")), (PREFIX, 0, PREFIX, 0)).double()
    expected = on_grid(out(block, softmax(scaled(k, k) + bias) @ v))
    torch.testing.assert_close(NACLIPReadout()(last(block)), expected)


@pytest.mark.parametrize("steps", [5, None])
def test_pearl(block, steps):
    q, k, v = projected(block, last(block).tokens)
    length = q.norm(dim=-1, keepdim=True)
    length[:, :, :PREFIX] = 0
    share = length / (length.sum(2, keepdim=True) + 1e-6)
    q_c, k_c = (one - (share * one).sum(2, keepdim=True) for one in (q, k))
    turned = k @ polar(k_c.mT @ q_c, steps)
    expected = on_grid(out(block, softmax(scaled(q, turned) + 0.08 * scaled(k_c, k_c)) @ v))
    torch.testing.assert_close(PEARLReadout(steps=steps)(last(block)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", [(3, 5), (6, 10), (4, 7), (2, 2)])
def test_proxyclip(block, grid):
    described = guide(grid)
    x = last(block).tokens
    _, _, v = projected(block, x)
    values = on_grid(v.transpose(1, 2).flatten(2))
    values = F.interpolate(values, grid, mode="bilinear", align_corners=False).flatten(2).mT
    units = F.normalize(described.grid.flatten(2).mT, dim=2)
    expected = block.attn.out_proj(gate(units @ units.mT, 1.2, 3.0) @ values)
    readout = build(READOUTS, {"type": "proxyclip", "guide": Guide()})
    torch.testing.assert_close(readout(last(block, described=described)), on_grid(expected, grid))


def test_windows_of_an_image_share_the_mean_of_a_gate(block):
    both = DenseFeatures(torch.cat([guide(count=1).grid, guide(count=1, seed=5).grid + 3]), 8, "guide")
    units = F.normalize(both.grid.flatten(2).mT, dim=2)
    values = on_grid([*projected(block, last(block).tokens)][2].transpose(1, 2).flatten(2)).flatten(2).mT
    found = []
    for together in (True, False):
        readout = build(READOUTS, {"type": "proxyclip", "guide": Guide(), "together": together})
        found.append(readout(last(block, described=both)))
        weights = gate(units @ units.mT, 1.2, 3.0, together=together)
        torch.testing.assert_close(found[-1], on_grid(block.attn.out_proj(weights @ values)))
    assert not torch.allclose(*found)


def test_one_softmax_of_a_guide_and_keys(block):
    described = guide()
    _, k, v = projected(block, last(block).tokens)
    k, v = k[:, :, PREFIX:], v[:, :, PREFIX:]
    units = F.normalize(described.grid.flatten(2).mT, dim=2)
    scores = 2 * (units @ units.mT)[:, None] + scaled(k, k)
    for terms in ([{"pair": "guide", "weight": 2.0}, "kk"], ["kk", {"pair": "guide", "weight": 2.0}]):
        readout = AttentionReadout(terms, mix="before", tokens="patches", guide=Guide())
        found = readout(last(block, described=described))
        torch.testing.assert_close(found, on_grid(out(block, softmax(scores) @ v)))
    alone = AttentionReadout([{"pair": "guide"}], mix="before", tokens="patches", guide=Guide())
    after = AttentionReadout([{"pair": "guide"}], tokens="patches", guide=Guide())
    both = last(block, described=described)
    torch.testing.assert_close(alone(both), after(both))


def test_weights_measures_and_gates_of_pairs(block):
    _, k, v = projected(block, last(block).tokens)
    units = F.normalize(k, dim=3)
    expected = on_grid(out(block, 0.5 * (softmax(units @ units.mT) @ v) + gate(units @ units.mT, 1.0, 2.0) @ v))
    terms = [
        {"pair": "kk", "measure": "cosine", "weight": 0.5},
        {"pair": "kk", "measure": "cosine", "beta": 1.0, "gamma": 2.0},
    ]
    torch.testing.assert_close(AttentionReadout(terms)(last(block)), expected)


def test_patches_alone(block):
    q, _, v = projected(block, last(block).tokens)
    q, v = q[:, :, PREFIX:], v[:, :, PREFIX:]
    expected = on_grid(kept(block, last(block).tokens[:, PREFIX:], out(block, softmax(scaled(q, q)) @ v)))
    readout = AttentionReadout("qq", tokens="patches", residual=True, mlp=True)
    torch.testing.assert_close(readout(last(block)), expected)


@pytest.mark.parametrize("name", ["sclip", "clearclip", "naclip", "pearl", "proxyclip", "declip"])
def test_a_batch_is_its_images(block, name):
    given = {"type": name, "guide": Guide()} if name == "proxyclip" else name
    readout, described = build(READOUTS, given), guide((4, 7))
    both = readout(last(block, described=described))
    whole = last(block, described=described)
    for i in range(2):
        one = LastBlock(
            whole.tokens[i : i + 1],
            whole.block,
            GRID,
            PREFIX,
            guide=DenseFeatures(described.grid[i : i + 1], 8, "guide"),
        )
        torch.testing.assert_close(readout(one), both[i : i + 1])


def test_an_image_of_one_colour_is_read_by_a_gate(block):
    flat = DenseFeatures(torch.ones(2, 6, *GRID, dtype=torch.float64), 8, "guide")
    readout = build(READOUTS, {"type": "proxyclip", "guide": Guide()})
    found = readout(last(block, described=flat))
    torch.testing.assert_close(found, build(READOUTS, "maskclip-reduced")(last(block)))


def test_every_setting_is_in_the_name():
    changes = [
        {},
        {"terms": ["qq"]},
        {"terms": [{"pair": "kk", "sigma": 3.0}]},
        {"mix": "before"},
        {"tokens": "patches"},
        {"residual": True},
        {"mlp": True},
        {"terms": ["rk"]},
        {"terms": ["rk"], "steps": 3},
        {"terms": ["guide"], "tokens": "patches", "guide": Guide()},
        {"terms": ["guide"], "tokens": "patches", "guide": Guide(), "together": True},
    ]
    assert len({AttentionReadout(**one).name for one in changes}) == len(changes)
    assert Term.of({"pair": "kk", "sigma": 5.0}).name == "kk(sigma=5.0)"
    assert AttentionReadout(**changes[-1]).needs.windows


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"terms": ["qx"]}, "two of q, k, v, c, r, such as qq, or is `guide`; got 'qx'"),
        ({"terms": [{"pair": "qq", "sigmas": 2}]}, "a term is a pair, such as qq, or its settings"),
        ({"terms": [3]}, "a term is a pair"),
        ({"terms": []}, "at least one term"),
        ({"terms": [{"pair": "qq", "measure": "l2"}]}, "measure must be one of scaled, dot, cosine; got 'l2'"),
        ({"terms": [{"pair": "qq", "sigma": 0.0}]}, "sigma is above 0"),
        ({"terms": [{"pair": "qq", "sigma": 1.0, "beta": 1.0}]}, "goes with a softmax, not with a gate"),
        ({"mix": "beside"}, "mix must be one of after, before; got 'beside'"),
        ({"tokens": "class"}, "tokens must be one of all, patches; got 'class'"),
        ({"terms": [{"pair": "qq", "beta": 1.0}], "mix": "before"}, "a gate is a softmax of its own"),
        ({"terms": ["guide"], "tokens": "patches"}, "compares patches by a guide, and has none"),
        ({"terms": ["guide"], "guide": Guide()}, "take tokens=patches"),
        ({"terms": ["qq"], "guide": Guide()}, "no term of this attention asks for its guide"),
    ],
)
def test_bad_settings(changes, error):
    with pytest.raises(UsageError, match=error):
        build(READOUTS, {"type": "attention", **changes})
    with pytest.raises(UsageError, match="one step or more"):
        PEARLReadout(steps=0)
