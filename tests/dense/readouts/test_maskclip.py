import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock

from densevl.core.registry import READOUTS
from densevl.dense.readouts import MaskCLIPReadout, PlainReadout


@pytest.fixture(params=[None, 0.3], ids=["plain block", "layer scale"])
def block(request):
    torch.manual_seed(0)
    made = ResidualAttentionBlock(48, 3, ls_init_value=request.param).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return made


@pytest.fixture
def x():
    return torch.randn(2, 7, 48, generator=torch.Generator().manual_seed(1))


def alone(block, x):
    """A mask under which each token sees itself alone: attention is then the value path."""
    return torch.full((x.shape[1],) * 2, -torch.inf).fill_diagonal_(0)


def test_maskclip_is_the_block_where_each_token_sees_itself(block, x):
    read = READOUTS.build({"type": "maskclip"})(block, x, False)
    torch.testing.assert_close(read.tokens, block(x, attn_mask=alone(block, x)))
    assert read.keys is None


def test_the_reduced_one_is_its_attention_alone(block, x):
    read = READOUTS.build({"type": "maskclip_reduced"})(block, x, False)
    torch.testing.assert_close(read.tokens, block.ls_1(block.attention(block.ln_1(x), attn_mask=alone(block, x))))


def test_residual_and_feed_forward_are_switched_one_by_one(block, x):
    value = block.ls_1(block.attention(block.ln_1(x), attn_mask=alone(block, x)))
    found = MaskCLIPReadout(residual=True, mlp=False)(block, x, False).tokens
    torch.testing.assert_close(found, x + value)
    found = MaskCLIPReadout(residual=False, mlp=True)(block, x, False).tokens
    torch.testing.assert_close(found, value + block.ls_2(block.mlp(block.ln_2(value))))
    assert READOUTS.build({"type": "maskclip", "mlp": False}) == MaskCLIPReadout(mlp=False)


def test_plain_is_the_block_as_trained(block, x):
    read = READOUTS.build({"type": "plain"})(block, x, False)
    torch.testing.assert_close(read.tokens, block(x))


@pytest.mark.parametrize("readout", [MaskCLIPReadout(), MaskCLIPReadout(False, False), PlainReadout()])
def test_keys_come_where_they_are_wanted(block, x, readout):
    read = readout(block, x, True)
    normed = block.ln_1(x)
    expected = normed @ block.attn.in_proj_weight[48:96].T + block.attn.in_proj_bias[48:96]
    torch.testing.assert_close(read.keys, expected)
    assert torch.equal(read.tokens, readout(block, x, False).tokens)
