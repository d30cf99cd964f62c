import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densevl.core.attention import LEAST_TOKENS, linear


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("tokens", [3, LEAST_TOKENS, 1000])
@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_linear_layer(dtype: torch.dtype, gelu: bool, tokens: int, bias: bool) -> None:
    layer = nn.Linear(48, 80, bias=bias, dtype=dtype).requires_grad_(False)
    x = torch.randn(2, tokens, 48, dtype=dtype)
    expected = layer.double()(x.double())
    layer.to(dtype)
    result = linear(x, layer.weight, layer.bias, gelu=gelu)
    assert result.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(result.double(), F.gelu(expected) if gelu else expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_weights_that_change_are_noticed() -> None:
    layer, x = nn.Linear(32, 32), torch.randn(500, 32)
    for change in (
        lambda: layer.weight.mul_(2),
        lambda: layer.bfloat16(),
        lambda: layer.float(),
        lambda: layer.reset_parameters(),
    ):
        linear(x.to(layer.weight.dtype), layer.weight, layer.bias)
        change()
        same = x.to(layer.weight.dtype)
        torch.testing.assert_close(linear(same, layer.weight, layer.bias), layer(same), rtol=2e-2, atol=2e-2)


def test_gradients_flow() -> None:
    layer, x = nn.Linear(32, 32), torch.randn(500, 32)
    linear(x, layer.weight, layer.bias).sum().backward()
    assert layer.weight.grad is not None
