"""CLIP-SVD: a block whose matrices are merged from U, S and V, before and after its singular values were trained."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, linear
from toys.golden import assert_agrees, golden, rule_weight, rules
from toys.small_clip import adapters_golden, small_clip, small_images

from densevl.weights.layouts import layout

LAYERS = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.proj", "mlp.c_fc", "mlp.c_proj")
BLOCK = "visual.transformer.resblocks.0."
TEMPLATE = ("a photo of a {}.",)


@pytest.mark.parametrize("trained", [False, True], ids=["before", "after"])
def test_the_merged_block_computes_what_the_decomposed_one_does(trained):
    outputs = golden("clip_svd")
    width, heads = outputs["config"].tolist()
    state = {}
    for name in LAYERS:
        shape = {"mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}.get(name, (width, width))
        left, values, right = torch.linalg.svd(rule_weight(f"{name}.weight", shape).double(), full_matrices=False)
        torch.testing.assert_close(values.float(), torch.from_numpy(outputs[f"singular_values_{name}"])[0])
        if trained:
            values = values * (1 + 0.2 * torch.from_numpy(rules()._normal(f"open.{name}.vector_S", (width,))))
        state |= {f"{BLOCK}{name}.fc_U.weight": left, f"{BLOCK}{name}.fc_V.weight": right}
        state |= {
            f"{BLOCK}{name}.vector_S": values[None],
            f"{BLOCK}{name}.fc_U.bias": rule_weight(f"{name}.bias", shape[:1]).double(),
        }
    merged = {name.removeprefix(BLOCK): tensor for name, tensor in layout("clip-svd").read(state).items()}
    attention = nn.MultiheadAttention(width, heads).double()
    attention.load_state_dict({name[5:]: tensor for name, tensor in merged.items() if name.startswith("attn.")})
    x = torch.from_numpy(outputs["x_lnd"]).double()
    x = attention(x, x, x, need_weights=False)[0]
    x = gelu(linear(x, merged["mlp.c_fc.weight"], merged["mlp.c_fc.bias"]))
    x = linear(x, merged["mlp.c_proj.weight"], merged["mlp.c_proj.bias"])
    assert_agrees(x.detach().float(), outputs["y_after" if trained else "y_before"])


def test_logits_and_gradients_of_changed_singular_values():
    from densevl.core.gradients import gradients
    from densevl.encoders.tuning.singular_values import SingularValues

    outputs, encoder = adapters_golden("clip_svd"), small_clip()
    tunable = SingularValues(encoder)
    tunable.attach(encoder)
    names = [name.replace("_", " ") for name in outputs["names"].tolist()]
    places = {}  # the reference keeps queries, keys and values apart
    for path, recomposed in tunable.weights.items():
        block, _, _ = path.replace("/", ".").partition(".attn")
        letters = [f"{block}.attn.{letter}_proj" for letter in "qkv"] if path.endswith("attn") else []
        for row, name in enumerate(letters or [path.replace("/", ".").replace("attn.out_proj", "attn.proj")]):
            places[f"{name}.vector_S"] = (recomposed.values, row)
    assert {*outputs["trainable"].tolist()} == {
        f"{name}:{(1, values.shape[1])}" for name, (values, _) in places.items()
    }

    def logits():
        images, texts = encoder.embed_images(small_images(outputs["images"])), encoder.embed_texts(names, TEMPLATE)
        return 100 * images @ texts.mT

    assert_agrees(logits(), outputs["logits_before"])
    for name, (values, row) in places.items():
        values.data[row] *= 1 + 0.2 * torch.from_numpy(rules().rule_weight(f"svd.{name}", (1, values.shape[1])))[0]
    with gradients():
        found = logits()
        loss = cross_entropy(found, torch.from_numpy(outputs["labels"]))
        loss.backward()
    assert_agrees(found.detach(), outputs["logits"], 1e-3)
    assert_agrees(loss.detach(), outputs["loss"], 1e-3)
    given = [key.removeprefix("grad/") for key in outputs if key.startswith("grad/")]
    assert given
    for name in given:
        values, row = places[name]
        assert_agrees(values[row : row + 1].detach(), outputs[f"values/{name}"], 1e-3)
        firsts = next(one.first[row] for one in tunable.weights.values() if one.values is values)
        expected = torch.from_numpy(outputs[f"grad/{name}"])[0]
        assert_agrees(told(values.grad[row], firsts), told(expected, firsts).numpy(), 1e-3)


def told(gradient, values):
    """A gradient by singular values, of which those that are as good as equal share their directions: their sum."""
    apart = values[:-1] - values[1:] > 1e-4 * values[0]
    group = torch.cat([torch.zeros(1, dtype=torch.long), apart.cumsum(0)])
    assert group[-1] > 0.98 * len(group)
    return torch.zeros(int(group[-1]) + 1).index_add_(0, group, gradient)
