"""Weight inheritance against TinyCLIP's own code, and what is cut out of each tensor."""

import pytest
import torch
from open_clip.transformer import Transformer
from toys.free import SHAPES, free_state
from toys.golden import assert_agrees, golden, rule_state

from densevl.core.errors import UsageError
from densevl.encoders.inheritance import Parts, PartsOfBlock, Shape, first_parts, inherit, shape_of


def visual(state):
    return {name.removeprefix("visual."): one for name, one in state.items() if name.startswith("visual.")}


def test_manual_inheritance_is_that_of_tinyclip():
    outputs = golden("tinyclip")
    width, layers, heads = outputs["inherit_teacher"].tolist()
    small_width, small_layers, small_heads = outputs["inherit_student"].tolist()
    names = {name: tuple(one.shape) for name, one in Transformer(width, layers, heads).state_dict().items()}
    rule = rule_state({f"open.transformer.{name}": shape for name, shape in names.items()})
    state = {name.removeprefix("open."): one for name, one in rule.items()}
    state["positional_embedding"] = torch.zeros(1, width)
    parts = first_parts(shape_of(state, 64), small_width, small_layers)
    assert [block.index for block in parts.blocks] == outputs["inherit_blocks"].tolist()
    made = inherit(state, parts, 64)
    assert made.pop("positional_embedding").shape == (1, small_width)
    student = Transformer(small_width, small_layers, small_heads)
    student.load_state_dict({name.removeprefix("transformer."): one for name, one in made.items()})
    tokens = torch.from_numpy(outputs["inherit_input_lnd"]).transpose(0, 1)
    with torch.no_grad():
        found = student.eval()(tokens)
    assert_agrees(found.transpose(0, 1), outputs["inherit_output_lnd"])


def test_keeping_all_changes_nothing():
    state = visual(free_state())
    shape = shape_of(state, 8)
    assert shape == Shape(24, 8, tuple(heads for heads, _ in SHAPES), tuple(units for _, units in SHAPES))
    made = inherit(state, first_parts(shape, 24, len(SHAPES)), 8)
    assert set(made) == set(state)
    assert all(torch.equal(made[name], one) for name, one in state.items())


def test_any_parts_are_cut_by_channel_head_and_unit():
    state = visual(free_state())
    channels = torch.tensor([1, 4, 9])
    blocks = (
        PartsOfBlock(0, torch.tensor([1]), torch.tensor([0, 39])),
        PartsOfBlock(2, torch.tensor([], dtype=torch.long), torch.tensor([7])),
        PartsOfBlock(4, torch.tensor([0, 2]), torch.tensor([], dtype=torch.long)),
    )
    made = inherit(state, Parts(channels, blocks), 8)
    first, last = "transformer.resblocks.0", "transformer.resblocks.2"
    rows = state[f"{first}.attn.in_proj_weight"].unflatten(0, (3, 2, 8))[:, 1].flatten(0, 1)
    assert torch.equal(made[f"{first}.attn.in_proj_weight"], rows[:, channels])
    out = state["transformer.resblocks.4.attn.out_proj.weight"].unflatten(1, (3, 8))[channels][:, [0, 2]].flatten(1)
    assert torch.equal(made[f"{last}.attn.out_proj.weight"], out)
    assert torch.equal(made[f"{first}.mlp.c_fc.bias"], state[f"{first}.mlp.c_fc.bias"][[0, 39]])
    assert torch.equal(made["conv1.weight"], state["conv1.weight"][channels])
    assert not [
        name for name in made if name.startswith(("transformer.resblocks.1.attn", "transformer.resblocks.1.ln_1"))
    ]
    assert not [name for name in made if name.startswith((f"{last}.mlp", f"{last}.ln_2"))]
    assert shape_of(made, 8) == Shape(3, 8, (1, 0, 2), (2, 1, 0))


@pytest.mark.parametrize(
    ("width", "depth", "message"),
    [
        (20, 2, r"whole heads of 8, one of 8, 16, 24; got 20"),
        (32, 2, r"whole heads of 8.*got 32"),
        (0, 2, r"whole heads of 8.*got 0"),
        (16, 6, r"depth must be from 1 to 5.*got 6"),
        (16, 0, r"depth must be from 1 to 5.*got 0"),
    ],
)
def test_sizes_that_cannot_be_had_are_refused(width, depth, message):
    with pytest.raises(UsageError, match=message):
        first_parts(shape_of(visual(free_state()), 8), width, depth)


def test_other_towers_are_refused():
    with pytest.raises(UsageError, match=r"attn_pool\.query is no part of a plain transformer"):
        shape_of({"attn_pool.query": torch.ones(1)}, 8)
