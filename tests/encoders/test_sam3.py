"""SAM 3 through the library's own classes, with small seeded weights."""

import shutil

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError, WeightsError
from densevl.encoders.contracts import Encoder
from densevl.encoders.sam3 import build_sam3


@pytest.fixture(scope="module")
def sam3(tiny_sam3):
    return build_sam3(tiny_sam3)


def picture(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_answers_are_those_of_the_library(sam3):
    pixels = sam3.processor.image_processor(images=[picture()], return_tensors="pt")
    ids = sam3.processor.tokenizer(["cat"], return_tensors="pt", padding="max_length", max_length=16)
    with torch.inference_mode():
        whole = sam3.model(pixel_values=pixels["pixel_values"], **{k: ids[k] for k in ("input_ids", "attention_mask")})
    own = sam3.ask(sam3.see(picture()), sam3.phrases(["cat"]))
    torch.testing.assert_close(own.semantic, whole.semantic_seg[:, 0].sigmoid())
    torch.testing.assert_close(own.masks, whole.pred_masks.sigmoid())
    torch.testing.assert_close(own.scores, whole.pred_logits.sigmoid())
    torch.testing.assert_close(own.presence, whole.presence_logits[:, 0].sigmoid())


def test_phrases_that_are_asked_together_are_asked_by_themselves(sam3):
    texts = ["cat", "a red sofa", "dog"]
    seen = sam3.see(picture())
    together = sam3.ask(seen, sam3.phrases(texts))
    for place, text in enumerate(texts):
        alone = sam3.ask(seen, sam3.phrases([text]))
        for name in ("semantic", "masks", "scores", "presence"):
            torch.testing.assert_close(getattr(together, name)[place], getattr(alone, name)[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together.semantic[0], together.semantic[1])


def test_a_smaller_look_is_that_of_a_model_of_this_size(sam3, tiny_sam3):
    from transformers import Sam3Config, Sam3Model

    config = Sam3Config.from_pretrained(tiny_sam3)
    config.image_size = 28
    other = Sam3Model.from_pretrained(tiny_sam3, config=config).eval()
    pixels = sam3.processor.image_processor(images=[picture()], size={"height": 28, "width": 28}, return_tensors="pt")[
        "pixel_values"
    ]
    with torch.inference_mode():
        expected = other.vision_encoder(pixels)
    before = sam3.see(picture())
    small = sam3.see(picture(), 28)
    for own, theirs in zip(small.fpn_hidden_states, expected.fpn_hidden_states, strict=True):
        torch.testing.assert_close(own, theirs)
    for own, theirs in zip(sam3.see(picture()).fpn_hidden_states, before.fpn_hidden_states, strict=True):
        torch.testing.assert_close(own, theirs)
    weights = {weight.data_ptr() for weight in sam3.model.parameters()}
    assert all(weight.data_ptr() in weights for weight in sam3._tower(28).parameters())


def test_what_it_cannot_do_is_an_error(sam3):
    assert isinstance(sam3, Encoder)
    with pytest.raises(UsageError, match="squares of whole patches of 14 pixels; got a side of 30"):
        sam3.see(picture(), 30)
    with pytest.raises(UsageError, match="tokens, and SAM 3 reads 16"):
        sam3.phrases(["cat", "a" * 40])
    with pytest.raises(UsageError, match="no vectors of patches"):
        sam3.embed_texts(["cat"])


def test_weights_that_are_not_here_say_whose_licence_and_how(tmp_path):
    with pytest.raises(
        WeightsError,
        match=r"SAM License \(Meta's own terms, to be accepted first\): accept it at https://huggingface.co/facebook/sam3",
    ):
        build_sam3()
    with pytest.raises(WeightsError, match="is no folder"):
        build_sam3(tmp_path / "missing")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        build_sam3(tmp_path)


def test_files_in_the_cache_of_densevl_are_found_by_name(tiny_sam3, tmp_path, monkeypatch, sam3):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path))
    shutil.copytree(tiny_sam3, tmp_path / "weights" / "sam3")
    assert build_sam3().model_id == sam3.model_id


def test_a_pickle_is_not_read(tiny_sam3, tmp_path):
    for file in tiny_sam3.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"no pickle is opened")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        build_sam3(tmp_path)
