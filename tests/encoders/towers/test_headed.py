"""FLAME's image half: an MLP on each token, and the mean of the patches."""

import pytest
import torch
from toys.dense import dense
from toys.published import PUBLISHED

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.architectures import build_model
from densevl.encoders.clip import CLIPEncoder
from densevl.weights.layouts import layout


@pytest.fixture(scope="module")
def flame():
    """The model of a small file of the published names, and what the file says."""
    file = PUBLISHED["flame"](True)
    state = file.state()
    ours = layout("flame").read(state)
    model, tokenizer = build_model(file.arch, ours)
    model.load_state_dict(ours)
    encoder = CLIPEncoder(model.eval().requires_grad_(False), tokenizer, "flame@test", (0.0,) * 3, (1.0,) * 3)
    return encoder, state


def test_the_mean_of_the_patches_is_the_image(flame):
    encoder, _ = flame
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    patches = dense(encoder, image, PlainReadout()).grid
    torch.testing.assert_close(patches.flatten(2).mean(2), encoder.image.embed(image))
    torch.testing.assert_close(encoder.model.encode_image(image), encoder.image.embed(image))


def test_the_head_stands_behind_the_last_block(flame):
    """Against open_clip's own pass without its last norm and projection, and the layers written out."""
    encoder, state = flame
    image, trunk = torch.rand(1, 3, 32, 32), encoder.model.visual.trunk
    x = trunk.transformer(trunk._embeds(image))[:, 1:]
    x = torch.nn.functional.gelu(x @ state["mm.0.weight"].T + state["mm.0.bias"])
    x = x @ state["mm.2.weight"].T + state["mm.2.bias"]
    x = torch.nn.functional.layer_norm(x, x.shape[-1:], state["mm.3.weight"], state["mm.3.bias"])
    torch.testing.assert_close(encoder.image.embed(image), x.mean(1), atol=1e-5, rtol=1e-4)


def test_any_size_a_batch_and_other_readouts(flame):
    encoder, _ = flame
    images = torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(1))
    for readout in (PlainReadout(), MaskCLIPReadout()):
        both = dense(encoder, images, readout).grid
        assert both.shape == (2, 32, 3, 5)
        torch.testing.assert_close(both[1:], dense(encoder, images[1:], readout).grid, atol=1e-5, rtol=1e-4)
    last = encoder.last_block(images)
    alone = encoder.to_joint(run_block(last.block, last.tokens)["out"][:, 3:4])
    torch.testing.assert_close(alone, encoder.to_joint(run_block(last.block, last.tokens)["out"])[:, 3:4])
    with pytest.raises(UsageError, match="head of its own"):
        encoder.image.head()
