"""Every layout against a file of its published names and shapes: recognised by it alone, read and written."""

from pathlib import Path

import pytest
import torch
from toys.published import PUBLISHED
from toys.published_regions import REGION_MODELS

from densevl.encoders.architectures import build_model
from densevl.weights import check_state_dict
from densevl.weights.layouts import find_layout, layout, layouts

MAKERS = PUBLISHED | REGION_MODELS
FOLDED = dict.fromkeys(("dinov2", "dinov2-giant", "tips", "tips-giant"), ("cls_token", "pos_embed"))
FOLDED |= {"transformers-tips": ("cls_token", "position_embeddings"), "dinov3": ("qkv.bias",)}
"""Ends of names of which files have more numbers than models: a class token and its position, biases of keys."""

EVERY = sorted(MAKERS)
TABLES = "text_model.embeddings.position_embedding"
TWO_TABLES = {
    "long-clip": "positional_embedding",
    "clip-moe": "positional_embedding",
    "fg-clip-long": TABLES,
    "fg-clip-2-long": TABLES,
}
"""Starts of the names of two tables, of which half the rows are in no model."""

RECOGNISED = [name for name in EVERY if not layout(name).variant]


def test_every_layout_has_a_file():
    assert set(EVERY) == set(layouts()), "a row of data/layouts.json needs a maker in tests/toys/published.py"


@pytest.mark.parametrize("name", RECOGNISED)
def test_one_layout_alone_recognises_it(name):
    for small in (True, False):
        state = MAKERS[name](small).meta()[0]
        assert [one.name for one in layouts().values() if one.fits(state)] == [name]
        assert find_layout(state).name == name


@pytest.mark.parametrize("name", EVERY)
def test_a_file_of_the_published_size_fills_the_model(name):
    file = MAKERS[name](False)
    state, base = file.meta()
    ours = layout(name).read(state, base)
    with torch.device("meta"):
        model = build_model(file.arch, ours)[0]
    check_state_dict(ours, model.state_dict(), name)
    written = layout(name).write(ours)
    assert {key: tuple(value.shape) for key, value in written.items()} == {
        key: shape for key, shape in file.shapes.items() if key not in file.left
    }


@pytest.mark.parametrize("name", EVERY)
def test_reading_what_was_written_changes_nothing(name):
    file = MAKERS[name](True)
    state, base = file.state(), file.base_state()
    ours = layout(name).read(state, base)
    again = layout(name).read(layout(name).write(ours), base)
    assert set(again) == set(ours)
    for key, tensor in ours.items():
        torch.testing.assert_close(again[key], tensor, atol=1e-5, rtol=1e-5)
    if name == "clip-svd":
        return  # a matrix has one set of singular values, and vectors of either sign
    written = layout(name).write(ours)
    twice = TWO_TABLES.get(name)
    for key, tensor in written.items():
        if not (twice and key.startswith(twice)) and not key.endswith(FOLDED.get(name, ())):
            torch.testing.assert_close(tensor, state[key], msg=key)


def test_every_row_names_architectures_that_there_are():
    from densevl.encoders.architectures import architectures

    for one in layouts().values():
        assert set(one.archs) <= set(architectures())


def test_the_page_of_layouts_names_each():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "layouts.md").read_text(encoding="utf-8")
    assert [name for name in layouts() if f"`{name}`" not in page] == []
