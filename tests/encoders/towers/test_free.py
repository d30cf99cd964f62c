"""Towers whose blocks have free shapes, and those whose feed-forward part is a mixture."""

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from toys.dense import dense
from toys.free import FREE, SHAPES, free_model, free_state

from densevl.core.attention import run_block
from densevl.core.errors import UsageError, WeightsError
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.naclip import NACLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip


@pytest.fixture(scope="module", params=["free", "moe"])
def encoder(request):
    return CLIPEncoder(free_model(request.param), SimpleTokenizer(), request.param)


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 7])
def test_a_view_is_the_forward_pass_of_the_block(encoder, count):
    tokens = images(2, count, FREE["width"])
    for module, view in zip(encoder.model.visual.transformer.resblocks, encoder.image.blocks_on((2, 2)), strict=True):
        torch.testing.assert_close(run_block(view, tokens)["out"], module(tokens))
    mask = torch.full((count, count), -torch.inf).triu(1)
    for module in encoder.model.visual.transformer.resblocks:
        torch.testing.assert_close(run_block(module.view, tokens, causal=True)["out"], module(tokens, mask))


def test_queries_keys_and_values_alone_are_those_of_all_three(encoder):
    for view in encoder.image.blocks_on((2, 2)):
        normed = view.norm_1(images(2, 5, FREE["width"]))
        for letter, heads in zip("qkv", view.qkv(normed), strict=True):
            torch.testing.assert_close(view.qkv(normed, letter)[0], heads)


def test_heads_are_those_of_the_file(encoder):
    found = [view.qkv(images(1, 3, FREE["width"]), "k")[0].shape[1] for view in encoder.image.blocks_on((2, 2))]
    assert found == [heads for heads, _ in SHAPES]


def test_whole_images_and_texts_are_those_of_the_model(encoder):
    batch, tokens = images(2, 3, 32, 32), SimpleTokenizer()(["a red dog", "two"], context_length=20)
    with torch.no_grad():
        torch.testing.assert_close(encoder.image.embed(batch), encoder.model.encode_image(batch))
        torch.testing.assert_close(encoder.text.encode(tokens), encoder.model.encode_text(tokens))


@pytest.mark.parametrize("readout", [PlainReadout(), MaskCLIPReadout(), NACLIPReadout(residual=True, mlp=True)])
def test_any_size_and_a_batch_gives_what_its_images_give(encoder, readout):
    batch = images(2, 3, 40, 21)
    together = dense(encoder, batch, readout, ["blocks.-2.ln_2"])
    assert together.grid.shape == (2, 16, 5, 3)
    for index, image in enumerate(batch):
        torch.testing.assert_close(dense(encoder, image[None], readout).grid[0], together.grid[index])


def test_a_last_block_without_attention_is_read_as_it_is_and_says_what_it_lacks():
    encoder = CLIPEncoder(free_model("free", [(2, 24), (0, 40)]), SimpleTokenizer(), "headless")
    batch = images(1, 3, 32, 32)
    plain = dense(encoder, batch, PlainReadout()).grid
    torch.testing.assert_close(dense(encoder, batch, MaskCLIPReadout()).grid, plain)
    with pytest.raises(UsageError, match=r"lost its attention.*readout=maskclip"):
        dense(encoder, batch, MaskCLIPReadout(residual=False, mlp=False))
    with pytest.raises(UsageError, match=r"lost its attention.*readout=maskclip"):
        dense(encoder, batch, NACLIPReadout())
    with pytest.raises(UsageError, match="no keys"):
        dense(encoder, batch, PlainReadout(), keys=True)


def test_bfloat16_stays_close(encoder):
    batch = images(2, 3, 32, 32)
    exact = dense(encoder, batch, PlainReadout()).grid
    rounded = dense(
        CLIPEncoder(free_model(encoder.model_id).bfloat16(), SimpleTokenizer(), "16"), batch, PlainReadout()
    )
    assert torch.cosine_similarity(exact, rounded.grid.float(), dim=1).min() > 0.99


def test_a_mixture_takes_the_best_experts_alone():
    block = free_model("moe").visual.transformer.resblocks[-1]
    tokens = images(2, 9, FREE["width"])
    shares = block.shares(tokens)
    assert ((shares > 0).sum(-1) == 2).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 9))
    whole = sum(shares[..., index, None] * expert(tokens) for index, expert in enumerate(block.experts))
    torch.testing.assert_close(block.mixture(tokens), whole)
    exported = torch.export.export(block, (tokens,), strict=False).module()
    torch.testing.assert_close(exported(tokens), block(tokens))


@pytest.mark.parametrize("top_k", [None, 0, 4, "2"])
def test_a_mixture_needs_the_number_of_experts_of_a_token(top_k):
    with pytest.raises(UsageError, match=r"3 experts needs top_k.*from 1 to 3"):
        free_model("moe", top_k=top_k)


def arch(**vision):
    text = {"tower": "free", "head_width": 8}
    return {"embed_dim": 16, "vision_cfg": {"tower": "free", **FREE["vision"], **vision}, "text_cfg": text}


def test_files_of_another_shape_are_refused(tmp_path):
    file = tmp_path / "w.safetensors"
    save_file(free_state(), file)
    assert build_clip(file, arch(), text_cache=False).depth == len(SHAPES)
    with pytest.raises(UsageError, match=r"not made of queries, keys and values of heads of 7.*head_width"):
        build_clip(file, arch(head_width=7))
    with pytest.raises(UsageError, match="takes its shapes from weights"):
        build_clip("random:0", arch())
    with pytest.raises(WeightsError, match=r"positional_embedding \(17, 24\) instead of \(65, 24\)"):
        build_clip(file, arch(image_size=64))
    state = free_state()
    save_file({name: one for name, one in state.items() if "resblocks.1.mlp.c_proj" not in name}, file)
    with pytest.raises(WeightsError, match=r"missing: visual\.transformer\.resblocks\.1\.mlp\.c_proj"):
        build_clip(file, arch())
    save_file({name: one for name, one in state.items() if "visual.transformer" not in name}, file)
    with pytest.raises(UsageError, match="no tensor of a block"):
        build_clip(file, arch())
