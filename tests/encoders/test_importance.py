"""Importance of the parts of a tower, against closing their gates."""

import pytest
import torch
from toys.free import SHAPES, free_model, free_state

from densevl.encoders.importance import _Gates, _units, best_parts, image_importance, text_importance
from densevl.encoders.inheritance import shape_of
from densevl.encoders.towers import image_tower


@pytest.fixture(scope="module")
def shape():
    return shape_of({n.removeprefix("visual."): t for n, t in free_state().items() if n.startswith("visual.")}, 8)


@pytest.fixture(scope="module")
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def silent(model, heads=(), channels=()):
    """The model with heads of the first block, or channels of the tokens, that write nothing."""
    with torch.no_grad():
        first = model.visual.transformer.resblocks[0]
        for head in heads:
            first.attn.out_proj.weight[:, 8 * head : 8 * head + 8] = 0
        for unit in channels:
            first.mlp.c_proj.weight[:, unit] = 0
    return model


def test_a_part_that_writes_nothing_has_no_importance(shape, images):
    tower = image_tower(silent(free_model(), heads=[1], channels=[3, 5]).visual)
    found = image_importance(tower, shape, 5, [images])
    assert found.heads[0][1] == 0
    assert found.heads[0][0] > 0
    assert found.units[0][[3, 5]].abs().max() == 0
    assert found.channels.min() > 0
    assert [len(one) for one in found.heads] == [heads for heads, _ in SHAPES]
    assert [len(one) for one in found.units] == [units for _, units in SHAPES]
    parts = best_parts(shape, found, 16)
    assert 1 not in parts.blocks[0].heads.tolist()


def test_importance_is_the_squared_slope_of_the_vectors(shape, images, monkeypatch):
    """Over many random directions it is the sum of squares of finite differences."""
    monkeypatch.setattr("densevl.encoders.importance.DIRECTIONS", 150)
    tower = image_tower(free_model().double().visual)
    found = image_importance(tower, shape, 5, [images[:1].double()])
    views = list(tower.blocks_on((4, 4)))

    def vectors(open_):
        gates = _Gates(shape, range(5), images[:1].double())
        gates.heads[2].data[:, 3] = open_
        from densevl.encoders.importance import _attended, _valued

        x = tower.tokens(images[:1].double())[0]
        for index in range(4):
            x = gates.run(index, views[index], x, _attended)
        whole = tower.pool(gates.run(4, views[4], x, _attended))[:, None]
        return _units([whole, tower.to_joint(gates.run(4, views[4], x, _valued)[:, 1:])])

    slopes = [(a - b) / 2e-3 for a, b in zip(vectors(1.001), vectors(0.999), strict=True)]
    expected = sum(float(slope.detach().square().sum() / slope.shape[1]) for slope in slopes)
    assert float(found.heads[2][3]) == pytest.approx(expected, rel=0.3)


def test_blocks_go_by_what_is_lost_without_them(shape, images):
    model = free_model()
    with torch.no_grad():
        for name, one in model.visual.transformer.resblocks[2].named_parameters():
            if "out_proj" in name or "c_proj" in name:
                one.zero_()  # adds nothing
    found = image_importance(image_tower(model.visual), shape, 4, [images])
    assert found.blocks == (0, 1, 3, 4)
    assert found.units[2].sum() == 0
    kept = best_parts(shape, found, 24)
    assert [block.index for block in kept.blocks] == [0, 1, 3, 4]


def test_as_many_heads_and_units_are_kept_as_the_width_allows(shape, images):
    parts = best_parts(shape, image_importance(image_tower(free_model().visual), shape, 5, [images]), 16)
    assert len(parts.channels) == 16
    assert sum(len(block.heads) for block in parts.blocks) == round(16 / 24 * sum(heads for heads, _ in SHAPES))
    assert sum(len(block.units) for block in parts.blocks) == round(16 / 24 * sum(units for _, units in SHAPES))


def test_texts():
    model = free_model()
    shape = shape_of({n.removeprefix("text."): t for n, t in free_state().items() if n.startswith("text.")}, 8)
    tokens = torch.tensor([[49406, 5, 6, 49407, 0], [49406, 8, 49407, 0, 0]])
    found = text_importance(model.text, shape, 2, [tokens])
    assert len(found.blocks) == 2
    assert found.channels.min() > 0
    assert [len(one) for one in found.heads] == [heads for heads, _ in SHAPES[:3]]
