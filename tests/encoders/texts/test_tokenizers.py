"""Tokenizers against open_clip and transformers, on small files that the trainers of both libraries make."""

import json
import re
from importlib.resources import as_file, files

import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from toys.tokenizers import SENTENCES, byte_pairs, save_transformers, sentence_pieces, unigram

from densevl.core.errors import TextTooLong, UsageError, WeightsError
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.texts.tokenizers import (
    TOKENIZERS,
    FileTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    as_tokenizer,
    check_vocabulary,
    fit_texts,
    read_tokenizer,
    token_ids,
)

TEXTS = [
    "cat",
    "A photo of a red CAT, asleep_on the sofa!",
    "  two   spaces and a\ttab  ",
    "naïve café &amp; 猫 ½ ﬁ",
    "the quick brown fox jumps over the lazy dog " * 4,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tokenizer files as published ones are laid out, each trained on a few sentences."""
    folder = tmp_path_factory.mktemp("tokenizers")
    save_transformers(unigram("<s>", "<pad>", "</s>", "<unk>"), folder / "xlm", pad="<pad>", around=("<s>", "</s>"))
    save_transformers(unigram("<pad>", "</s>", "<unk>"), folder / "mt5", pad="<pad>", around=(None, "</s>"))
    save_transformers(unigram("<pad>", "</s>", "<unk>"), folder / "siglip", pad="</s>", around=(None, "</s>"))
    save_transformers(byte_pairs("<pad>", "<eos>"), folder / "gemma", pad="<pad>", around=(None, "<eos>"))
    sentence_pieces(folder / "spiece.model")
    return folder


@pytest.mark.parametrize("clean", ["whitespace", "canonicalize", "lower"])
@pytest.mark.parametrize("name", ["xlm", "mt5", "siglip", "gemma"])
def test_a_file_gives_the_ids_of_open_clip(folder, name, clean):
    reference = HFTokenizer(str(folder / name), context_length=24, clean=clean)
    rows = {"xlm": "xlm-v", "gemma": "siglip2"}
    found = read_tokenizer(
        {"tokenizer": rows.get(name, name), "tokenizer_kwargs": {"clean": clean}}, folder / name / "tokenizer.json"
    )
    assert torch.equal(token_ids(found, TEXTS, 24, cut=True), reference(TEXTS))


def test_a_file_that_says_what_it_puts_around_a_text_needs_no_row(folder):
    reference = HFTokenizer(str(folder / "xlm"), context_length=24)
    found = FileTokenizer(folder / "xlm" / "tokenizer.json")
    assert (found.start, found.end, found.pad) == (0, 2, 1)
    assert torch.equal(token_ids(found, TEXTS, 24, cut=True), reference(TEXTS))


def test_open_clips_wrapper_of_transformers_is_read_as_it_is(folder):
    reference = HFTokenizer(str(folder / "xlm"), context_length=24)
    found = as_tokenizer(reference)
    assert isinstance(found, Tokenizer)
    assert torch.equal(token_ids(found, TEXTS, 24, cut=True), reference(TEXTS))
    with pytest.raises(TextTooLong):
        token_ids(found, TEXTS, 24)


def test_the_separator_of_clipa_is_zero(folder):
    reference = HFTokenizer(str(folder / "xlm"), context_length=24, strip_sep_token=True)
    reference.tokenizer.sep_token = "</s>"
    found = token_ids(as_tokenizer(reference), TEXTS, 24, cut=True)
    assert torch.equal(found, reference(TEXTS))
    kwargs = {"strip_sep_token": True}
    row = {"files": ["tokenizer.json"], "start": 0, "end": 2, "pad": 1}
    read = read_tokenizer({"tokenizer": row, "tokenizer_kwargs": kwargs}, folder / "xlm")
    assert torch.equal(token_ids(read, TEXTS, 24, cut=True), found)


def test_a_sentencepiece_model_gives_its_own_ids(folder):
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    found = read_tokenizer({"tokenizer": "siglip"}, folder)
    assert (found.start, found.end, found.pad) == (None, 1, 1)
    cleaned = "a photo of a red cat asleep on the sofa"
    assert found.encode(TEXTS[1]) == pieces.encode(cleaned)
    assert token_ids(found, TEXTS[:1], 8)[0].tolist() == [*pieces.encode("cat"), 1, 1, 1, 1, 1, 1, 1][:8]
    assert SentencePieceTokenizer(folder / "spiece.model").pad == 0
    assert found.vocab_size == pieces.vocab_size()


def test_a_sentencepiece_model_and_its_tokenizer_json_agree(folder, tmp_path):
    """The two files of SigLIP's tokenizer, the second made of the first by transformers."""
    from transformers import T5TokenizerFast
    from transformers.convert_slow_tokenizer import SpmConverter

    class Converter(SpmConverter):
        def __init__(self, path):
            super().__init__(type("Source", (), {"vocab_file": str(path)})())

    pytest.importorskip("google.protobuf")
    made = Converter(folder / "spiece.model").converted()
    T5TokenizerFast(tokenizer_object=made, extra_ids=0).save_pretrained(tmp_path)
    made.save(str(tmp_path / "tokenizer.json"))
    cfg = {"tokenizer": "siglip", "tokenizer_kwargs": {"clean": "canonicalize"}}
    one, other = read_tokenizer(cfg, folder), read_tokenizer(cfg, tmp_path)
    assert isinstance(one, SentencePieceTokenizer)
    assert isinstance(other, FileTokenizer)
    assert torch.equal(token_ids(one, TEXTS, 64, cut=True), token_ids(other, TEXTS, 64, cut=True))


ODD = [
    "",
    "it's  <b>Größe</b> &amp;amp; 12cm",
    "<start_of_text>cat<end_of_text>",
    "日本の犬 🙂",
    "L’été — naïve",
    "a\n_b_c!!",
]


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
@pytest.mark.parametrize("context", [5, 77])
def test_clips_own_gives_the_ids_of_open_clip(context, clean):
    simple = SimpleTokenizer(clean=clean)
    made = read_tokenizer({"tokenizer_kwargs": {"clean": clean}})
    found, texts = as_tokenizer(made), TEXTS + ODD
    expected = simple(texts, context_length=context)
    assert torch.equal(token_ids(found, texts, context, cut=True), expected)
    assert torch.equal(made(texts, context_length=context), expected)
    assert [made.decode(made.encode(text)) for text in texts] == [simple.decode(simple.encode(text)) for text in texts]
    assert made.encoder == simple.encoder


def test_the_minis_tokenizer_gives_the_ids_of_open_clip():
    with as_file(files("densevl") / "data/mini/merges.txt.gz") as path:
        simple = SimpleTokenizer(str(path), context_length=48)
    assert torch.equal(mini_tokenizer()(TEXTS + ODD), simple(TEXTS + ODD))
    assert mini_tokenizer().encoder == simple.encoder


def test_settings_that_drop_tokens_are_left_to_open_clip():
    assert isinstance(read_tokenizer({"tokenizer_kwargs": {"reduction_mask": "simple"}}), SimpleTokenizer)


def test_every_architecture_of_open_clip_has_a_known_tokenizer():
    configs = [open_clip.get_model_config(name) for name in open_clip.list_models()]
    names = {config["text_cfg"].get("hf_tokenizer_name") for config in configs} - {None}
    known = {name for row in TOKENIZERS.values() for name in row["names"]}
    assert names <= known


def test_a_text_that_is_too_long_is_counted_and_cut_only_where_asked(folder):
    found = FileTokenizer(folder / "xlm" / "tokenizer.json")
    whole = len(found.encode(TEXTS[4])) + 2
    with pytest.raises(TextTooLong, match=rf"has {whole} tokens.* takes 24") as caught:
        token_ids(found, [TEXTS[0], TEXTS[4]], 24)
    assert (caught.value.tokens, caught.value.context) == (whole, 24)
    cut = token_ids(found, TEXTS, 24, cut=True)[4]
    assert cut[0] == found.start
    assert cut[-1] == found.end
    assert cut[1:-1].tolist() == found.encode(TEXTS[4])[:22]
    assert torch.equal(token_ids(found, TEXTS[4:], whole)[0, :23], cut[:23])


def test_texts_lose_their_last_words_until_they_fit():
    assert fit_texts(lambda text: len(text) < 12, ["one two three", "four"], "a {}") == (["one two", "four"], 1)
    assert fit_texts(lambda text: False, ["one two"], "{}") == (["one"], 1)


def test_a_tokenizer_of_another_model_is_refused(folder):
    found = FileTokenizer(folder / "xlm" / "tokenizer.json")
    check_vocabulary(found, found.vocab_size)
    clip = as_tokenizer(SimpleTokenizer())
    with pytest.raises(UsageError, match="49408 ids and the text tower embeds 400"):
        check_vocabulary(clip, 400)
    with pytest.raises(WeightsError, match="is another tokenizer"):
        read_tokenizer({"hf_tokenizer_name": "facebook/xlm-v-base", "vocab_size": 901629}, folder / "xlm")


@pytest.mark.parametrize(
    ("cfg", "file", "message"),
    [
        ({"hf_tokenizer_name": "facebook/xlm-v-base"}, "nowhere.json", "does not exist; it is tokenizer.json of"),
        ({"hf_tokenizer_name": "facebook/xlm-v-base"}, "spiece.model", "has other ids than the text tower"),
        ({"hf_tokenizer_name": "facebook/xlm-v-base"}, "", r"put tokenizer.json of facebook/xlm-v-base \(https"),
        ({"tokenizer": "mt5"}, "broken.json", "is no tokenizer.json"),
        ({"tokenizer": "mt5"}, "broken.model", "is no sentencepiece model"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(folder, tmp_path, cfg, file, message):
    (tmp_path / "broken.json").write_text("{}")
    (tmp_path / "broken.model").write_bytes(b"not a model")
    (tmp_path / "spiece.model").write_bytes((folder / "spiece.model").read_bytes())
    with pytest.raises(WeightsError, match=message) as caught:
        read_tokenizer(cfg, tmp_path / file)
    assert str(tmp_path) in str(caught.value)


def test_settings_that_are_not_understood_are_refused(folder):
    with pytest.raises(UsageError, match="tokenizer_mode are not understood"):
        read_tokenizer({"tokenizer": "mt5", "tokenizer_kwargs": {"tokenizer_mode": "clips"}}, folder / "mt5")
    with pytest.raises(UsageError, match=r"texts are cleaned by lower, .*; got 'washed'"):
        FileTokenizer(folder / "mt5" / "tokenizer.json", "washed")


def test_a_file_that_does_not_say_how_to_fill_up_is_refused(tmp_path):
    byte_pairs("<eos>").save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(WeightsError, match="does not say which id fills up"):
        FileTokenizer(tmp_path / "tokenizer.json")


def test_more_than_one_id_before_a_text_is_refused(folder, tmp_path):
    content = json.loads((folder / "xlm" / "tokenizer.json").read_text())
    content["post_processor"]["single"].insert(0, content["post_processor"]["single"][0])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=re.escape("one id before and one behind")):
        FileTokenizer(tmp_path / "tokenizer.json")


def test_what_a_file_says_about_cutting_and_filling_does_not_count(tmp_path):
    tokens = byte_pairs("<pad>", "<eos>")
    plain = tokens.encode(SENTENCES[0]).ids
    tokens.enable_truncation(3)
    tokens.enable_padding(length=50, pad_id=7)
    tokens.save(str(tmp_path / "tokenizer.json"))
    found = FileTokenizer(tmp_path / "tokenizer.json")
    assert found.encode(SENTENCES[0]) == plain
    assert found.pad == 7
