"""Whole images and texts by any tower, ResNets included."""

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.encoders.loading import build_whole_clip

RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}


@pytest.fixture(scope="module")
def resnet(tiny_clip):
    model = tiny_clip({**RESNET, "head_width": 16})
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):  # small, so that what is in the image reaches the end
            buffer.copy_(0.01 * torch.rand(buffer.shape, generator=generator) + 0.01)
    return model


def test_a_resnet_gives_what_open_clip_gives(resnet):
    encoder = WholeImageEncoder(resnet, SimpleTokenizer(), "tiny@1")
    images = torch.rand(3, 3, 64, 64)
    mean, std = (torch.tensor(x)[:, None, None] for x in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    with torch.no_grad():
        expected = resnet.encode_image((images - mean) / std, normalize=True)
        texts = resnet.encode_text(SimpleTokenizer()(["a red dog", "two"]), normalize=True)
    torch.testing.assert_close(encoder.embed_images(images), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.embed_texts(["a red dog", "two"]), texts, rtol=1e-4, atol=1e-5)
    assert encoder.image_size == (64, 64)


def test_any_size_and_batch_equals_single(resnet):
    encoder = WholeImageEncoder(resnet, SimpleTokenizer(), "tiny@1")
    images = torch.rand(2, 3, 50, 90)
    both = encoder.embed_images(images, "squash")
    torch.testing.assert_close(both, torch.cat([encoder.embed_images(i[None], "squash") for i in images]))
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    assert (both - encoder.embed_images(images, "crop")).abs().max() > 1e-3
    with pytest.raises(UsageError, match="images must be RGB"):
        encoder.embed_images(torch.rand(1, 3, 0, 8))


def test_a_vit_gives_what_the_encoder_of_patches_gives(tiny_clip):
    model = tiny_clip()
    whole, patches = WholeImageEncoder(model, SimpleTokenizer(), "m"), CLIPEncoder(model, SimpleTokenizer(), "m")
    images = torch.rand(2, 3, 40, 60)
    torch.testing.assert_close(whole.embed_images(images), patches.embed_images(images), rtol=1e-4, atol=1e-5)
    assert torch.equal(whole.embed_texts(["a cat"]), patches.embed_texts(["a cat"]))


def test_weights_of_a_resnet_are_loaded(tmp_path, monkeypatch):
    config = {"embed_dim": 32, "vision_cfg": RESNET, "text_cfg": {"width": 32, "heads": 2, "layers": 1}}
    monkeypatch.setattr(open_clip, "list_models", lambda: ["RN-tiny"])
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: {**config, "quick_gelu": True})
    model = open_clip.CLIP(32, RESNET, config["text_cfg"], quick_gelu=True).eval()
    state = {name: tensor for name, tensor in model.state_dict().items() if "num_batches_tracked" not in name}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    encoder = build_whole_clip(tmp_path / "w.safetensors", "RN-tiny", text_cache=False)
    image = torch.rand(1, 3, 64, 64)
    expected = WholeImageEncoder(model, SimpleTokenizer(), "m")
    assert torch.equal(encoder.embed_images(image), expected.embed_images(image))
    assert torch.equal(encoder.embed_texts(["dog"]), expected.embed_texts(["dog"]))
