"""The mini architecture and its tokenizer."""

import pytest
import torch
from open_clip import CLIP

from densevl.datasets.scenes import CLASSES
from densevl.encoders.mini import build_mini_clip, mini_tokenizer


@pytest.fixture(scope="module")
def model() -> CLIP:
    torch.manual_seed(0)
    return build_mini_clip()[0].eval()


def test_it_is_small_and_an_open_clip_model(model):
    assert isinstance(model, CLIP)
    assert sum(parameter.numel() for parameter in model.parameters()) * 2 <= 8e6, "bytes in half precision"
    with torch.no_grad():
        assert model.encode_image(torch.rand(1, 3, 128, 128)).shape == (1, 192)
        assert model.encode_text(mini_tokenizer()(["a red circle"])).shape == (1, 192)


def test_the_stem_gives_one_token_for_each_patch(model):
    with torch.no_grad():
        assert model.visual.conv1(torch.rand(1, 3, 64, 40)).shape == (1, 192, 8, 5)


def test_a_picture_does_not_know_its_batch(model):
    images = torch.rand(3, 3, 128, 128)
    with torch.no_grad():
        together = model.encode_image(images)
        alone = torch.cat([model.encode_image(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_stem_sees_only_its_surroundings(model):
    images = torch.rand(1, 3, 128, 128)
    changed = images.clone()
    changed[:, :, 96:] = 0
    with torch.no_grad():
        first, second = model.visual.conv1(images), model.visual.conv1(changed)
    assert torch.equal(first[:, :, :6], second[:, :, :6])
    assert not torch.equal(first[:, :, 12:], second[:, :, 12:])


def test_weights_go_around(model):
    other = build_mini_clip()[0].eval()
    other.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(model.encode_image(images), other.encode_image(images))


def test_each_scene_word_is_one_token():
    tokenizer = mini_tokenizer()
    for name in CLASSES:
        assert len(tokenizer.encode(name)) == len(name.split())


@pytest.mark.parametrize("text", ["a photo of a cat", "größe", "日本の犬", "зелёная трава", "🙂 naïve café", "x" * 300])
def test_any_text_is_accepted(text):
    tokenizer = mini_tokenizer()
    codes = tokenizer.encode(text)
    assert tokenizer.decode(codes).split() == text.split()
    tokens = tokenizer([text])
    assert tokens.shape == (1, tokenizer.context_length)
    assert tokens.max() < tokenizer.vocab_size
    assert (tokens == tokenizer.end).sum() == 1
    assert tokens.argmax() == (tokens == tokenizer.end).int().argmax(), "open_clip reads the text there"


def test_the_vocabulary_has_no_holes():
    tokenizer = mini_tokenizer()
    assert sorted(tokenizer.encoder.values()) == list(range(tokenizer.vocab_size))
