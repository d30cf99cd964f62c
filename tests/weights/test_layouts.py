"""Layouts: names there and back, steps there and back, and what a file is recognised by."""

import pytest
import torch

from densevl.core.errors import UsageError, WeightsError
from densevl.weights.fusions import fusion
from densevl.weights.layouts import Layout, _extended, find_layout, layout, layouts
from densevl.weights.names import Template

STEPS = [
    ({"kind": "join", "parts": ["{rest}.q.{name}", "{rest}.k.{name}"], "to": "{rest}.qk_{name}"}, ["a.qk_weight"]),
    ({"kind": "transpose", "name": "proj"}, ["proj"]),
    ({"kind": "unsqueeze", "name": "pos"}, ["pos"]),
    ({"kind": "merge_svd", "left": "{rest}.U", "values": "{rest}.S", "right": "{rest}.V", "to": "{rest}.w"}, ["b.w"]),
    ({"kind": "join_positions", "first": "pos", "second": "pos_res", "at": 2}, ["pos"]),
]


def test_templates():
    template = Template("blocks.{i}.{name}.{rest}")
    assert template.read("blocks.12.attn.qkv.weight") == {"i": "12", "name": "attn", "rest": "qkv.weight"}
    assert template.fill({"i": "1", "name": "mlp", "rest": "fc1"}) == "blocks.1.mlp.fc1"
    assert not template.matches("blocks.x.attn.qkv")
    assert Template("a.{i}.b.{i}").matches("a.3.b.3")
    assert not Template("a.{i}.b.{i}").matches("a.3.b.4")


@pytest.mark.parametrize(("row", "names"), STEPS, ids=[row["kind"] for row, _ in STEPS])
def test_steps_undo_each_other(row, names):
    state = {name: torch.randn(1, 6, 4) if row["kind"] == "unsqueeze" else torch.randn(6, 4) for name in names}
    written = dict(state)
    fusion(row).write(written)
    assert set(written) != set(state) or any(written[name].shape != state[name].shape for name in state)
    fusion(row).read(written)
    assert set(written) == set(state)
    for name, tensor in state.items():
        torch.testing.assert_close(written[name], tensor)


def test_names_are_translated_and_what_is_no_part_of_the_model_is_left_out():
    one = Layout("one", strip=("module.",), drop=("teacher.{rest}",), rename=(("image.{rest}", "visual.{rest}"),))
    state = {"module.image.a": torch.ones(1), "teacher.b": torch.ones(1), "scale": torch.ones(1)}
    assert set(one.read(state)) == {"visual.a", "scale"}
    assert set(one.write(one.read(state))) == {"image.a", "scale"}
    with pytest.raises(WeightsError, match=r"holds visual\.a twice"):
        one.read(state | {"visual.a": torch.ones(1)})


def test_a_part_of_a_model_needs_its_base():
    part = Layout("part", rename=(("{rest}", "visual.{rest}"),), base=("text.{rest}", "logit_scale"))
    state = {"conv": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"base=NAME"):
        part.read(state)
    base = {"visual.conv": torch.zeros(1), "text.a": torch.zeros(1), "logit_scale": torch.zeros(1)}
    whole = part.read(state, base)
    assert set(whole) == set(base)
    assert whole["visual.conv"] == 1
    assert set(part.write(whole)) == {"conv"}


def test_a_file_is_recognised_by_its_signs():
    state = {
        name: torch.ones(1) for name in ("positional_embedding", "positional_embedding_res", "visual.conv1.weight")
    }
    assert find_layout(state).name == "long-clip"
    assert find_layout({"visual.conv1.weight": torch.ones(1)}).name == "open_clip"


def test_every_row_has_a_source_and_signs():
    assert layouts()
    for one in layouts().values():
        assert one.source
        assert one.signs


def test_a_row_extends_another():
    rows = {"base": {"source": "one", "rename": [["a", "b"]], "signs": ["a"]}}
    own = {"extends": "base", "rename": [["c", "d"]], "signs": ["c"]}
    assert _extended(own, rows) == {"source": "one", "rename": [["c", "d"], ["a", "b"]], "signs": ["c"]}


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="did you mean"):
        layout("longclip")
    with pytest.raises(UsageError, match="no step"):
        fusion({"kind": "joins"})
    with pytest.raises(UsageError, match="other arguments"):
        fusion({"kind": "transpose", "names": "a"})
