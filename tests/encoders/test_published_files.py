"""Files as they are published, read into encoders: images, patches, regions and texts; against other libraries."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from toys.dense import dense
from toys.language_models import save_language_model
from toys.published import PUBLISHED, siglip_arch, small_clip

from densevl.core.images import normalise
from densevl.core.regions import Regions
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.loading import build_clip
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.weights.layouts import layout

IMAGENET = (0.485, 0.456, 0.406)
OPENAI = (0.48145466, 0.4578275, 0.40821073)


def with_language_model(arch, folder):
    """The architecture, with a small language model in the place of a large one that it names."""
    text = arch["text_cfg"]
    if text.get("tower") != "llm":
        return arch
    save_language_model(folder, "mistral", hidden_size=text.get("adapter", {}).get("width", arch["embed_dim"]))
    return arch | {"text_cfg": text | {"llm": str(folder)} | ({"layer": 1} if "layer" in text else {})}


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - {"tinyclip-auto"}))  # of a small vocabulary: tests/golden
def test_a_published_file_gives_images_patches_regions_and_texts(name, tmp_path):
    file = PUBLISHED[name](True)
    save_file(file.state(), tmp_path / "published.safetensors")
    base, arch = file.base_state(), with_language_model(file.arch, tmp_path / "tiny")
    if base is not None:
        save_file(base, tmp_path / "base.safetensors")
    base_file = None if base is None else tmp_path / "base.safetensors"
    encoder = build_clip(tmp_path / "published.safetensors", arch, base=base_file, text_cache=False)
    images = torch.rand(2, 3, 48, 40)
    texts = encoder.embed_texts(["a cat", "two red dogs on a sofa"])
    whole = encoder.embed_images(images)
    maps = dense(encoder, images, MaskCLIPReadout()).grid
    regions = MaskPooling(encoder, short_side=None).embed(
        np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8), Regions.from_boxes([[4, 4, 30, 40]], (48, 40))
    )
    assert whole.shape == texts.shape == (2, encoder.dim)
    assert maps.shape[:2] == (2, encoder.dim)
    assert regions.vectors.shape == (1, encoder.dim)
    for vectors in (whole, texts, regions.vectors):
        assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * len(vectors), abs=1e-4)
    assert encoder.mean == (layout(name).mean or OPENAI)
    assert encoder.resize == (layout(name).resize or "crop")
    if base is not None:
        assert "+" in encoder.model_id, "the base is a part of what the model is"


def test_the_clip_of_transformers_computes_the_same(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    arch = small_clip()
    tower = {"num_hidden_layers": 2, "hidden_act": "gelu"}
    text = tower | {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 2, "eos_token_id": 49407}
    vision = tower | {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    vision |= {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    theirs = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    theirs.save_pretrained(tmp_path)
    ours = build_clip(tmp_path / "model.safetensors", arch, text_cache=False)
    images = torch.rand(2, 3, 32, 32)
    tokens = ours.text.tokenize(["a cat", "two red dogs"])
    with torch.no_grad():
        expected = theirs(input_ids=tokens, pixel_values=normalise(images, ours.mean, ours.std))
    torch.testing.assert_close(ours.embed_images(images), expected.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(F.normalize(ours.text.encode(tokens)), expected.text_embeds, rtol=1e-4, atol=1e-5)


def test_the_siglip_of_transformers_computes_the_same(tmp_path):
    from transformers import SiglipConfig, SiglipModel

    arch = siglip_arch(True, "exact")
    tower = {"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 192, "num_attention_heads": 3}
    tower |= {"hidden_act": "gelu"}
    vision, text = tower | {"image_size": 32, "patch_size": 16}, tower | {"vocab_size": 49408}
    torch.manual_seed(0)
    theirs = SiglipModel(SiglipConfig(text_config=text | {"max_position_embeddings": 64}, vision_config=vision)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # some start at zero or one
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    ours = build_clip(tmp_path / "model.safetensors", arch, text_cache=False)
    assert (ours.mean, ours.resize) == ((0.5,) * 3, "squash")
    images = torch.rand(2, 3, 32, 32)
    tokens = torch.randint(0, 49408, (2, 64))
    with torch.no_grad():
        expected = theirs(input_ids=tokens, pixel_values=normalise(images, ours.mean, ours.std))
        found = F.normalize(ours.model.encode_text(tokens))
    torch.testing.assert_close(ours.embed_images(images), expected.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected.text_embeds, rtol=1e-4, atol=1e-5)
    assert ours.temperature == pytest.approx(float(theirs.logit_scale.exp()))
