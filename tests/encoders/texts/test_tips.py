"""The text tower of TIPS: its tokenizer from a file, lower case, padding that changes nothing, and sinusoids."""

import pytest
import torch
from safetensors.torch import save_file
from toys.published import tips_arch
from toys.tokenizers import sentence_pieces
from transformers.models.speech_to_text.modeling_speech_to_text import Speech2TextSinusoidalPositionalEmbedding

from densevl.core.errors import TextTooLong, WeightsError
from densevl.encoders.architectures import build_model
from densevl.encoders.loading import build_clip
from densevl.encoders.texts.tips import sinusoids


@pytest.fixture(scope="module")
def arch():
    found = tips_arch(True)
    found["text_cfg"] |= {"tokenizer": "tips", "vocab_size": 73}
    return found


@pytest.fixture(scope="module")
def encoder(arch, tmp_path_factory):
    """A small TIPSv2 of a file, its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("tips")
    sentence_pieces(folder / "tokenizer.model")
    torch.manual_seed(0)
    without = {key: value for key, value in arch["text_cfg"].items() if key != "tokenizer"}
    state = build_model(arch | {"text_cfg": without})[0].state_dict()
    save_file(state, folder / "model.safetensors")
    return build_clip(folder / "model.safetensors", arch, text_cache=False)


def test_texts_are_lower_cased_and_have_no_ids_around_them(encoder):
    ids = encoder.text.tokenize(["A Photo of a CAT", "a photo of a cat"])
    assert ids.shape == (2, 16)
    assert ids[0].tolist() == ids[1].tolist()
    assert 1 not in ids[0], "the end that the file of the tokenizer names is not written"
    assert ids[0, -1] == 0


def test_padding_and_company_change_nothing(encoder):
    short, long = "a cat", "a red ring"
    alone = encoder.embed_texts([short])
    torch.testing.assert_close(encoder.embed_texts([long, short])[1:], alone, atol=1e-6, rtol=1e-5)
    ids = encoder.text.tokenize([short])
    length = int((ids != 0).sum())
    torch.testing.assert_close(encoder.text.encode(ids[:, :length]), encoder.text.encode(ids))


def test_a_text_of_nothing_known_is_a_number_still(encoder):
    assert encoder.text.encode(torch.zeros(1, 16, dtype=torch.long)).isfinite().all()


def test_sinusoids_are_those_of_transformers():
    expected = Speech2TextSinusoidalPositionalEmbedding.get_embedding(16, 48)
    torch.testing.assert_close(sinusoids(16, 48, torch.device("cpu")), expected)


def test_what_is_refused(encoder, arch, tmp_path):
    with pytest.raises(TextTooLong, match="takes 16"):
        encoder.embed_texts(["a cat " * 20])
    save_file(encoder.model.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"put tokenizer\.model or tokenizer\.json"):
        build_clip(tmp_path / "model.safetensors", arch)
