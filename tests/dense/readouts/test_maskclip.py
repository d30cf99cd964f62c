import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock

from densevl.core.registry import build
from densevl.dense.readouts import READOUTS
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.contracts import LastBlock
from densevl.encoders.towers.open_clip import OpenClipBlock


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


def last(block, x):
    """The class token, then patches on a grid of 2 × 3."""
    return LastBlock(x, OpenClipBlock(block), (2, 3), prefix=1)


def on_grid(tokens):
    return tokens[:, 1:].mT.unflatten(2, (2, 3))


def alone(block, x):
    """A mask under which each token sees itself alone: attention is then the value path."""
    return torch.full((x.shape[1],) * 2, -torch.inf).fill_diagonal_(0)


def test_maskclip_is_the_block_where_each_token_sees_itself(block, x):
    found = build(READOUTS, "maskclip")(last(block, x))
    torch.testing.assert_close(found, on_grid(block(x, attn_mask=alone(block, x))))


def test_the_reduced_one_is_its_attention_alone(block, x):
    found = build(READOUTS, "maskclip-reduced")(last(block, x))
    expected = block.ls_1(block.attention(block.ln_1(x), attn_mask=alone(block, x)))
    torch.testing.assert_close(found, on_grid(expected))


def test_residual_and_feed_forward_are_switched_one_by_one(block, x):
    value = block.ls_1(block.attention(block.ln_1(x), attn_mask=alone(block, x)))
    found = MaskCLIPReadout(residual=True, mlp=False)(last(block, x))
    torch.testing.assert_close(found, on_grid(x + value))
    found = MaskCLIPReadout(residual=False, mlp=True)(last(block, x))
    torch.testing.assert_close(found, on_grid(value + block.ls_2(block.mlp(block.ln_2(value)))))
    assert build(READOUTS, {"type": "maskclip", "mlp": False}) == MaskCLIPReadout(mlp=False)


def test_every_setting_is_in_the_name():
    names = {MaskCLIPReadout(residual, mlp).name for residual in (True, False) for mlp in (True, False)}
    assert len(names) == 4


def test_plain_is_the_block_as_trained(block, x):
    torch.testing.assert_close(build(READOUTS, "plain")(last(block, x)), on_grid(block(x)))


def test_keys_are_those_of_the_attention(block, x):
    expected = block.ln_1(x) @ block.attn.in_proj_weight[48:96].T + block.attn.in_proj_bias[48:96]
    torch.testing.assert_close(last(block, x).keys(), on_grid(expected))
