"""int8 against integers in numpy, the same for a batch as for its members, and told apart from what it stands for."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densevl.core import int8
from densevl.core.attention import feed_forward, linear, project_heads
from densevl.core.errors import UsageError
from densevl.core.int8 import Int8Weight, check_trainable, dtype_name, int8_fault, quantise_tokens

pytestmark = pytest.mark.skipif(int8_fault() is not None, reason=str(int8_fault()))


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rounded(layer):
    """A copy of a layer with its weight in int8."""
    made = copy.deepcopy(layer)
    made.weight = Int8Weight.of(layer.weight)
    return made


def by_integers(x, weight, bias):
    """The definition, in numpy's int64 and float64."""
    scales = np.abs(weight).max(1, keepdims=True) / 127
    scale = np.abs(x).max(1, keepdims=True) / 127
    q, w = (np.rint(each).astype(np.int64) for each in (x / scale, weight / scales))
    return (q @ w.T) * scale * scales.T + bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inside", "outside"), [(64, 64), (192, 576), (100, 70)])
def test_it_is_the_product_of_integers(dtype, inside, outside):
    x, weight, bias = drawn(37, inside, dtype=dtype), drawn(outside, inside, seed=1), drawn(outside, seed=2)
    found = Int8Weight.of(weight).linear(x, bias)
    expected = torch.from_numpy(by_integers(x.double().numpy(), weight.double().numpy(), bias.double().numpy()))
    assert found.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 2**-8
    error = (found.double() - expected).abs() / expected.abs().max()
    assert error.median() < tolerance
    assert error.max() < 0.01  # a value midway between two integers may go to the other one in float32


@torch.inference_mode()
def test_largest_values_are_exact():
    """Products of the largest bytes would saturate in 16 bits."""
    x = torch.tensor([[127.0, -127.0] * 96, [127.0] * 192, [0.0] * 192])
    weight = torch.tensor([[127.0, -127.0] * 96, [127.0] * 192, [-127.0] * 192])
    assert torch.equal(Int8Weight.of(weight).linear(x), x @ weight.mT)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_of_tokens(dtype):
    x = torch.tensor([[127.0, 0.0, -127.0, 63.0], [1.0, -0.5, 0.25, 0.0], [0.0] * 4], dtype=dtype)
    values, scale = quantise_tokens(x)
    assert values.tolist() == [[255, 128, 1, 191], [255, 64, 160, 128], [128] * 4]
    assert torch.allclose(scale[:2, 0], torch.tensor([1.0, 1 / 127]))


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at_once", [1, 7, 64, 10_000])
def test_a_batch_is_its_members_however_many_are_taken_at_once(dtype, at_once, monkeypatch):
    first, last = rounded(nn.Linear(96, 192)), rounded(nn.Linear(192, 96))
    x = drawn(5, 29, 96, dtype=dtype)
    whole, fed = first(x), feed_forward(x, first, nn.GELU(), last)
    alone = torch.stack([torch.stack([first(token) for token in one]) for one in x])
    assert torch.equal(whole, alone)
    monkeypatch.setattr(int8, "TOKENS_AT_ONCE", at_once)
    assert torch.equal(first(x), whole)
    assert torch.equal(feed_forward(x, first, nn.GELU(), last), fed)
    assert torch.equal(torch.cat([feed_forward(one[None], first, nn.GELU(), last) for one in x]), fed)


@torch.inference_mode()
def test_it_is_near_the_layer_that_it_stands_for():
    first, last = nn.Linear(128, 256), nn.Linear(256, 128)
    x, small = drawn(300, 128), [rounded(first), rounded(last)]
    for gelu in (False, True):
        expected = F.gelu(first(x)) if gelu else first(x)
        found = linear(x, small[0].weight, small[0].bias, gelu=gelu)
        assert (found - expected).norm() < 0.015 * expected.norm()
    for activation in (nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU()):
        expected = last(activation(first(x)))
        found = feed_forward(x, small[0], activation, small[1])
        assert (found - expected).norm() < 0.03 * expected.norm()


@torch.inference_mode()
def test_parts_of_it_and_modules_of_torch_meet_the_integers():
    attention = nn.MultiheadAttention(64, 4).eval()
    weight, bias, x = attention.in_proj_weight, attention.in_proj_bias, drawn(2, 9, 64)
    small = Int8Weight.of(weight)
    both = zip(project_heads(x, small, bias, 16, "qkv"), project_heads(x, weight, bias, 16, "qkv"), strict=True)
    for found, expected in both:
        assert (found - expected).norm() < 0.015 * expected.norm()
    found = project_heads(x, small, bias, 16, "kv")
    for letter, part in zip("kv", found, strict=True):
        assert torch.equal(part, project_heads(x, small, bias, 16, "qkv")["qkv".index(letter)])
    attention.in_proj_weight = small
    assert attention(x, x, x)[0].shape == x.shape


def test_it_goes_where_its_module_goes():
    layer, x = rounded(nn.Linear(64, 80)), drawn(3, 64)
    with torch.inference_mode():
        expected = layer(x)
        for other in (copy.deepcopy(layer), copy.deepcopy(layer).to("cpu", torch.float32), layer.requires_grad_(False)):
            assert isinstance(other.weight, Int8Weight)
            assert isinstance(other.weight, nn.Parameter)
            assert torch.equal(other(x), expected)
        assert dtype_name(layer) == "int8"
        assert torch.allclose(x @ layer.weight.mT + layer.bias, expected, atol=0.05)
        assert layer.weight.shape == (80, 64)
    assert "80, 64" in repr(layer.weight)


def test_gradients_are_refused():
    layer = rounded(nn.Linear(64, 64)).requires_grad_(False)
    x = drawn(2, 64).requires_grad_()
    for compute in (lambda: layer(x), lambda: feed_forward(x, layer, nn.GELU(), layer)):
        with pytest.raises(UsageError, match="int8 has no gradients; load the model with dtype=float32"):
            compute()
    with pytest.raises(UsageError, match=r"cannot be tuned.*dtype=float32"):
        check_trainable(layer, "tuned")


@pytest.mark.parametrize("known", [{}, {"avx512_vnni": False, "avx2": True}])
def test_a_processor_without_dot_products_is_told(known, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    assert "no dot products of int8" in int8_fault.__wrapped__()
