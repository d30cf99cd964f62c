"""Small tokenizer files, trained by the libraries that read the published ones."""

from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "a photo of a cat asleep on the sofa",
    "the quick brown fox jumps over the lazy dog",
    "a red heart right of the blue ring on a green ground",
    "this image description means in just one word",
    "the category of the main object in this image",
    "two spaces and a tab, a café, and a naïve question?",
    "after thinking step by step, the overall atmosphere or emotion of this image",
]


def unigram(*special: str, size: int = 300) -> Tokenizer:
    """Pieces as XLM-V and mT5 have them."""
    tokens = Tokenizer(models.Unigram())
    tokens.normalizer = normalizers.NFKC()
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    tokens.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )
    tokens.train_from_iterator(SENTENCES, trainer)
    return tokens


def byte_pairs(*special: str, size: int = 400) -> Tokenizer:
    """Bytes and their pairs as Llama 3 and Mistral-Nemo have them."""
    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokens.train_from_iterator(SENTENCES, trainer)
    return tokens


def save_transformers(
    tokens: Tokenizer, folder: Path, pad: str | None, around: tuple[str | None, str | None] = (None, None)
) -> None:
    """A folder as transformers writes it, which its ``AutoTokenizer`` reads.

    Args:
        tokens: what is saved.
        folder: where to.
        pad: token that fills up.
        around: tokens before and behind a text.
    """
    pieces = [*([around[0]] if around[0] else []), "$A", *([around[1]] if around[1] else [])]
    special = [(token, tokens.token_to_id(token)) for token in around if token]
    tokens.post_processor = processors.TemplateProcessing(single=" ".join(pieces), special_tokens=special)
    PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token=pad).save_pretrained(folder)


def sentence_pieces(path: Path, size: int = 200) -> None:
    """A model of sentencepiece with the first ids of T5's: <pad>, </s>, <unk>."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(path.with_suffix("")),
        vocab_size=size,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
