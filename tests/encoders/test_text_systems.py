"""Whole encoders from files of published layouts, whose texts take a tokenizer file or a language model."""

import json

import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from toys.language_models import save_language_model
from toys.published import PUBLISHED, llm2clip_arch
from toys.tokenizers import byte_pairs, save_transformers, unigram
from transformers import MetaClip2Config, MetaClip2Model, SiglipConfig, SiglipModel

from densevl.core.errors import UsageError, WeightsError
from densevl.core.images import normalise
from densevl.encoders.loading import build_clip

TEXTS = ["a cat asleep on the sofa", "The lazy DOG!", "naïve café"]
SMALL = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
VISION = SMALL | {"image_size": 32, "patch_size": 16}


def randomised(model):
    """The model with weights away from their first values, so that no part of it is idle."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def metaclip2(tmp_path_factory):
    """MetaCLIP 2 as transformers saves it, with the file of its tokenizer beside."""
    folder = tmp_path_factory.mktemp("metaclip2")
    tokens = unigram("<s>", "<pad>", "</s>", "<unk>")
    save_transformers(tokens, folder, pad="<pad>", around=("<s>", "</s>"))
    text = SMALL | {"max_position_embeddings": 20, "vocab_size": tokens.get_vocab_size(), "eos_token_id": 2}
    config = MetaClip2Config(
        text_config=text | {"bos_token_id": 0, "hidden_act": "gelu"},
        vision_config=VISION | {"hidden_act": "gelu"},
        projection_dim=24,
    )
    model = randomised(MetaClip2Model(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    arch = open_clip.get_model_config("ViT-H-14-worldwide")
    arch["embed_dim"] = 24
    arch["vision_cfg"] |= {"image_size": 32, "patch_size": 16, "width": 48, "layers": 2, "head_width": 16}
    arch["text_cfg"] |= {"context_length": 20, "width": 48, "heads": 3, "layers": 2}
    arch["text_cfg"] |= {"vocab_size": tokens.get_vocab_size()}
    arch["vision_cfg"]["mlp_ratio"] = arch["text_cfg"]["mlp_ratio"] = 2.0
    (folder / "model.json").write_text(json.dumps(arch))
    return folder, model


@torch.no_grad()
def test_metaclip_2_of_transformers(metaclip2):
    folder, model = metaclip2
    encoder = build_clip(folder / "model.safetensors", text_cache=False)
    ids = HFTokenizer(str(folder), context_length=20)(TEXTS)
    expected = model(input_ids=ids, pixel_values=torch.zeros(1, 3, 32, 32))
    torch.testing.assert_close(encoder.embed_texts(TEXTS), expected.text_embeds, rtol=1e-4, atol=1e-5)
    image = torch.rand(1, 3, 32, 32)
    pixels = normalise(image, encoder.mean, encoder.std)
    expected = model(input_ids=ids, pixel_values=pixels).image_embeds
    torch.testing.assert_close(encoder.embed_images(image), expected, rtol=1e-4, atol=1e-5)


def test_a_tokenizer_may_lie_elsewhere_and_must_be_the_right_one(metaclip2, tmp_path):
    folder, _ = metaclip2
    for name in ("model.safetensors", "model.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(WeightsError, match=r"is missing: put tokenizer.json of facebook/xlm-v-base"):
        build_clip(tmp_path / "model.safetensors")
    encoder = build_clip(tmp_path / "model.safetensors", tokenizer=folder / "tokenizer.json", text_cache=False)
    assert encoder.embed_texts(["cat"]).shape == (1, 24)
    other = byte_pairs("<s>", "<pad>", "</s>")
    other.save(str(tmp_path / "other.json"))
    with pytest.raises(WeightsError, match="it is another tokenizer"):
        build_clip(tmp_path / "model.safetensors", tokenizer=tmp_path / "other.json")


@torch.no_grad()
@pytest.mark.parametrize("act", ["gelu", "gelu_pytorch_tanh"])
def test_siglip_of_transformers_reads_lower_case_without_punctuation(tmp_path, act):
    tokens = unigram("<pad>", "</s>", "<unk>")
    save_transformers(tokens, tmp_path, pad="</s>", around=(None, "</s>"))
    text = SMALL | {"max_position_embeddings": 16, "vocab_size": tokens.get_vocab_size(), "hidden_act": act}
    config = SiglipConfig(text_config=text, vision_config=VISION | {"hidden_act": "gelu"})
    model = randomised(SiglipModel(config))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    arch = open_clip.get_model_config("ViT-B-16-SigLIP" if act == "gelu" else "ViT-B-16-SigLIP2")
    arch["embed_dim"] = 48
    arch["text_cfg"] |= {"context_length": 16, "width": 48, "heads": 3, "layers": 2, "mlp_ratio": 2.0}
    arch["text_cfg"] |= {"vocab_size": tokens.get_vocab_size(), "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}
    arch["vision_cfg"] |= {"image_size": 32, "tower": "timm"}
    arch["vision_cfg"]["timm_model_kwargs"] = {"embed_dim": 48, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0}
    encoder = build_clip(tmp_path / "model.safetensors", arch, text_cache=False)
    ids = HFTokenizer(str(tmp_path), context_length=16, clean="canonicalize")(TEXTS)
    expected = model(input_ids=ids, pixel_values=torch.zeros(1, 3, 32, 32)).text_embeds
    torch.testing.assert_close(encoder.embed_texts(TEXTS), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.embed_texts(["the lazy dog"]), encoder.embed_texts(TEXTS[1:2]))


@pytest.fixture(scope="module")
def llm2clip(tmp_path_factory):
    """A file of LLM2CLIP's training, and a small language model in a folder of its own."""
    folder = tmp_path_factory.mktemp("llm2clip")
    save_language_model(folder / "llm")
    save_file(PUBLISHED["llm2clip"](True).state(), folder / "llm2clip.safetensors")
    (folder / "llm2clip.json").write_text(json.dumps(llm2clip_arch(True, str(folder / "llm"))))
    return folder


@torch.no_grad()
def test_llm2clip_embeds_images_and_texts(llm2clip, tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    encoder = build_clip(llm2clip / "llm2clip.safetensors")
    assert encoder.dim == 24
    patches = encoder.to_joint(encoder.tokens(torch.rand(1, 3, 48, 32)).flatten(2).mT)
    assert patches.shape == (1, 6, 24)
    assert patches.isfinite().all()
    assert encoder.embed_images(torch.rand(2, 3, 32, 32)).shape == (2, 24)
    assert "model" not in vars(encoder.text.llm)
    found = encoder.embed_texts(TEXTS, ("a photo of {}", "{}"))
    tokens = encoder.text.tokenize([template + text for text in TEXTS for template in ("a photo of ", "")])
    states = F.normalize(encoder.text.states(tokens), dim=1)
    units = F.normalize(encoder.model.text.adapter(states), dim=1).unflatten(0, (3, 2))
    torch.testing.assert_close(found, F.normalize(units.mean(1), dim=1))
    assert (found @ found.T - torch.eye(3)).max() < 0.9999
    assert [path.parent.name for path in tmp_path.rglob("*.safetensors")] == ["states"]
    again = build_clip(llm2clip / "llm2clip.safetensors", whole=True)
    assert torch.equal(again.embed_texts(TEXTS, ("a photo of {}", "{}")), found)
    assert "model" not in vars(again.text.llm)
    assert not any(name.startswith("text.llm") for name in again.model.state_dict())


def test_without_its_language_model_images_are_embedded_and_texts_say_what_is_missing(llm2clip, tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    encoder = build_clip(llm2clip / "llm2clip.safetensors", llm2clip_arch(True, "org/tiny"), whole=True)
    assert encoder.embed_images(torch.rand(1, 3, 32, 32)).shape == (1, 24)
    with pytest.raises(WeightsError, match="the language model org/tiny is not on this machine"):
        encoder.embed_texts(["cat"])


def test_a_language_model_of_another_width_is_refused(llm2clip, tmp_path):
    save_language_model(tmp_path / "wide", hidden_size=64)
    arch = llm2clip_arch(True, str(tmp_path / "wide"))
    encoder = build_clip(llm2clip / "llm2clip.safetensors", arch, whole=True, text_cache=False)
    with pytest.raises(UsageError, match="gives vectors of 64 numbers, and the encoder takes 32"):
        encoder.embed_texts(["cat"])


@torch.no_grad()
def test_flame_gives_patches_images_and_texts_of_one_space(tmp_path):
    file = PUBLISHED["flame"](True)
    save_file(file.state(), tmp_path / "flame.safetensors")
    width = file.arch["embed_dim"]
    mistral = save_language_model(tmp_path / "llm", "mistral", hidden_size=width).model
    cfg = file.arch["text_cfg"] | {"llm": str(tmp_path / "llm"), "layer": 2}
    encoder = build_clip(tmp_path / "flame.safetensors", file.arch | {"text_cfg": cfg}, text_cache=False)
    image = torch.rand(1, 3, 32, 32)
    patches = encoder.to_joint(encoder.tokens(image).flatten(2).mT)
    torch.testing.assert_close(encoder.embed_images(image), F.normalize(patches.mean(1), dim=1), rtol=1e-4, atol=1e-5)
    found = encoder.embed_texts(["the cat"])
    assert found.shape == (1, patches.shape[2]) == (1, width)
    facet = (
        'Image description : "the cat." . After thinking step by step , this image description means in just one word:"'
    )
    ids = torch.tensor([[0, *encoder.text.llm.tokenizer.encode(facet)]])
    expected = mistral(input_ids=ids, output_hidden_states=True).hidden_states[2][:, -1]
    torch.testing.assert_close(found, F.normalize(expected, dim=1), rtol=1e-3, atol=1e-4)
    wide = file.arch["text_cfg"] | {"llm": str(tmp_path / "wide"), "layer": 2}
    save_language_model(tmp_path / "wide", "mistral", hidden_size=width + 8)
    other = build_clip(tmp_path / "flame.safetensors", file.arch | {"text_cfg": wide}, text_cache=False)
    with pytest.raises(UsageError, match=f"gives vectors of {width + 8} numbers, and the encoder takes {width}"):
        other.embed_texts(["cat"])
