import pytest
import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock

from densevl.core import attention as blocks
from densevl.core.attention import Block, attend, run_block
from densevl.encoders.towers.open_clip import OpenClipBlock

KINDS = {
    "gelu": {},
    "quick gelu": {"act_layer": QuickGELU},
    "layer scale": {"ls_init_value": 0.3},
    "sequence first": {"batch_first": False},
}


def block(**arguments):
    torch.manual_seed(0)
    made = ResidualAttentionBlock(48, 3, **arguments).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def tokens(n=9, dtype=torch.float32):
    return torch.randn(2, n, 48, generator=torch.Generator().manual_seed(1)).to(dtype)


def attended(made, x):
    """Attention of normalised tokens, the output projection included."""
    view = OpenClipBlock(made)
    return view.out(attend(*view.qkv(x)))


def upstream(made, x, mask=None):
    if made.attn.batch_first:
        return made(x, attn_mask=mask)
    return made(x.transpose(0, 1), attn_mask=mask).transpose(0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_runs_as_in_open_clip(kind):
    made, x = block(**KINDS[kind]), tokens()
    torch.testing.assert_close(run_block(OpenClipBlock(made), x)["out"], upstream(made, x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_causal_block_runs_as_under_a_mask(kind):
    made, x = block(**KINDS[kind]), tokens()
    mask = torch.full((9, 9), -torch.inf).triu(1)
    torch.testing.assert_close(run_block(OpenClipBlock(made), x, causal=True)["out"], upstream(made, x, mask))


def test_the_input_is_left_alone():
    made, x = block(), tokens()
    before = x.clone()
    run_block(OpenClipBlock(made), x)
    assert torch.equal(x, before)


def test_taps_are_outputs_of_the_modules():
    made, x = block(), tokens()
    seen = {}
    for name in blocks.TAPS:
        hook = lambda _, __, out, name=name: seen.update({name: out[0] if isinstance(out, tuple) else out})  # noqa: E731
        getattr(made, name).register_forward_hook(hook)
    made(x)
    expected = dict(seen)
    for name, tap in run_block(OpenClipBlock(made), x).items():
        if name != "out":
            torch.testing.assert_close(tap, expected[name])


@pytest.mark.parametrize("tiles", [False, True], ids=["plain", "fused"])
def test_attention_in_bfloat16_stays_close(monkeypatch, tiles):
    monkeypatch.setattr(blocks, "_has_tiles", lambda: tiles)
    made, x = block(), tokens(50)
    found = attended(made.bfloat16(), x.bfloat16()).float()
    exact = attended(made.float(), x)
    assert (found - exact).abs().max() < 0.02 * exact.abs().max()


def test_values_are_what_tokens_get_that_see_only_themselves():
    made, x = block(), tokens()
    alone = torch.full((9, 9), -torch.inf).fill_diagonal_(0)
    view = OpenClipBlock(made)
    torch.testing.assert_close(view.out(*view.qkv(x, "v")), made.attn(x, x, x, attn_mask=alone)[0])


def test_keys_make_the_weights_of_attention():
    made, x = block(), tokens()
    query, key = OpenClipBlock(made).qkv(x, "qk")
    weights = (query @ key.mT / 4).softmax(dim=-1)
    torch.testing.assert_close(weights, made.attn(x, x, x, average_attn_weights=False)[1])


@pytest.mark.parametrize("wanted", ["q", "kv", "vq"])
def test_only_what_is_wanted_is_what_all_hold(wanted):
    view, x = OpenClipBlock(block()), tokens()
    every = dict(zip("qkv", view.qkv(x), strict=True))
    for letter, found in zip(wanted, view.qkv(x, wanted), strict=True):
        torch.testing.assert_close(found, every[letter])
    assert isinstance(view, Block)


@pytest.mark.parametrize("heads", [1, 4, 6, 13])
def test_heads_a_few_at_a_time_are_the_heads_all_at_once(heads):
    query, key, value = (torch.randn(heads, 37, 8, dtype=torch.bfloat16) for _ in range(3))
    with torch.no_grad():
        few = blocks._plain_attention(query, key, value)
    assert torch.equal(few, blocks._plain_attention(query, key, value).detach())


def test_attention_in_bfloat16_has_gradients():
    made, x = ResidualAttentionBlock(24, 3).bfloat16(), torch.randn(2, 9, 24, dtype=torch.bfloat16)
    attended(made, x).sum().backward()
    assert made.attn.in_proj_weight.grad.abs().sum() > 0
