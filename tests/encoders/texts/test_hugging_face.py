import open_clip
import pytest
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer
from toys.tokenizers import save_transformers, unigram
from transformers import MT5Config, RobertaConfig

from densevl.core.errors import TextTooLong, UsageError
from densevl.encoders.architectures import build_model
from densevl.encoders.texts import text_tower

VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
TEXTS = ["a cat", "a red heart right of the blue ring", "naïve 猫"]
ROBERTA = RobertaConfig(
    vocab_size=75,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=90,
    pad_token_id=1,
)
MT5 = MT5Config(vocab_size=75, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_transformers(unigram("<s>", "<pad>", "</s>", "<unk>"), folder, pad="<pad>", around=("<s>", "</s>"))
    return folder


@pytest.mark.parametrize("config", [ROBERTA, MT5], ids=["roberta", "mt5"])
def test_a_tower_of_transformers_embeds_as_in_open_clip(folder, config):
    text = {"tower": "hugging-face", "config": config.to_dict(), "hf_pooler_type": "mean_pooler", "context_length": 60}
    text["tokenizer"] = {"files": ["tokenizer.json"], "start": 0, "end": 2, "pad": 1}
    model, tokenizer = build_model({"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text}, None, folder)
    model.eval()
    tower = text_tower(model, tokenizer)
    assert tower.context == 60
    assert not any(".pooler." in name or "decoder" in name for name in model.state_dict())
    reference = HFTokenizer(str(folder), context_length=60)(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(tower.encode(tower.tokenize(TEXTS)), model.text(reference))
    with pytest.raises(TextTooLong, match="takes 60"):
        tower.tokenize(["the quick brown fox " * 20])


def test_a_model_that_somebody_built_keeps_the_context_of_its_tokenizer(folder):
    text = {"context_length": 77, "vocab_size": 75, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.CustomTextCLIP(24, VISION, text)
    model.text = HFTextEncoder("", 24, ROBERTA, "mean_pooler", "mlp")
    tower = text_tower(model.eval(), HFTokenizer(str(folder), context_length=40))
    assert tower.context == 40
    assert tower.tokenize(TEXTS).shape == (3, 40)


def test_a_config_that_transformers_does_not_know_is_refused():
    text = {"tower": "hugging-face", "config": {"model_type": "secret"}}
    with pytest.raises(UsageError, match="builds no text tower of this config"):
        build_model({"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text})
