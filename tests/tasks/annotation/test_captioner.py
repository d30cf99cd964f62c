"""Captions by small BLIP and GIT models of seeded weights, against transformers' own generation."""

import numpy as np
import pytest
import torch

from densevl.core.errors import WeightsError
from densevl.tasks.annotation.captioner import build_captioner

transformers = pytest.importorskip("transformers")

IMAGES = [np.random.default_rng(i).integers(0, 256, (40 + 8 * i, 48, 3), dtype=np.uint8) for i in range(3)]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "red", "dog", "cat", "on", "the", "grass"]
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "bos_token_id": 5,
    "eos_token_id": 3,
    "sep_token_id": 3,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
}


def blip(folder):
    config = transformers.BlipConfig(
        text_config={**TEXT, "encoder_hidden_size": 32, "max_position_embeddings": 64},
        vision_config={**VISION, "patch_size": 16},
        projection_dim=16,
    )
    processor = transformers.BlipProcessor(
        transformers.BlipImageProcessor(size={"height": 32, "width": 32}),
        transformers.BertTokenizer(str(folder / "vocab.txt")),
    )
    return transformers.BlipForConditionalGeneration(config), processor


def git(folder):
    config = transformers.GitConfig(
        **{**TEXT, "bos_token_id": 2}, vision_config={**VISION, "patch_size": 16}, max_position_embeddings=64
    )
    processor = transformers.GitProcessor(
        transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        transformers.BertTokenizer(str(folder / "vocab.txt")),
    )
    return transformers.GitForCausalLM(config), processor


@pytest.mark.parametrize("make", [blip, git])
def test_captions_are_those_of_transformers_and_do_not_depend_on_the_batch(make, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    model, processor = make(tmp_path)
    model = model.eval()
    with torch.no_grad():  # large weights, so that captions differ between images
        for parameter in model.parameters():
            parameter.mul_(6)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    captioner = build_captioner(str(tmp_path), beams=1, offline=True)
    together = captioner.caption(IMAGES)
    assert together == [captioner.caption([image])[0] for image in IMAGES]
    pixels = processor(images=IMAGES[1], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        tokens = model.generate(pixel_values=pixels, num_beams=1, do_sample=False, max_new_tokens=40)
    assert together[1] == processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
    assert any(together)


def test_what_cannot_be_loaded_says_what_to_fetch(tmp_path):
    with pytest.raises(WeightsError, match=r"fetch config\.json.*blip-image-captioning"):
        build_captioner(str(tmp_path), offline=True)
