"""CLIP's tokenizer: byte pairs over a file of merges; ids are those of open_clip's ``SimpleTokenizer``.

Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, ACL 2016,
https://arxiv.org/abs/1508.07909, as in Radford et al., ICML 2021, and open_clip 3.3. Importing open_clip takes longer
than all that a text needs.
"""

import gzip
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import regex
import torch
from jaxtyping import Int
from torch import Tensor

from densevl.encoders.texts.cleaning import CLEANING
from densevl.weights.places import installed_file

__all__ = ["BytePairs"]

START, END = "<start_of_text>", "<end_of_text>"

OWN = "open_clip/bpe_simple_vocab_16e6.txt.gz"
"""CLIP's merges, which come with open_clip."""

MOST_MERGES = 49152 - 256 - 2
"""Merges that are read of a file: CLIP's own holds more."""


class BytePairs:
    """CLIP's tokenizer.

    Args:
        merges: a file of merges (``.txt.gz``), the first line of which is a comment; None for CLIP's own.
        context_length: ids that a text is filled up to, those around it included.
        clean: how a text is cleaned before, one of :data:`densevl.encoders.texts.cleaning.CLEANING`.

    Attributes:
        encoder: from a token to its id.
        vocab_size: number of ids.
        start: id before a text.
        end: id behind a text.
        pad: id that fills up.

    Raises:
        OSError: where the file is no file of merges.
    """

    def __init__(self, merges: str | Path | None = None, context_length: int = 77, clean: str = "lower") -> None:
        with gzip.open(merges or installed_file(OWN), "rt", encoding="utf-8", newline="\n") as file:
            pairs = [tuple(line.split()) for line in file.read().split("\n")[1 : MOST_MERGES + 1]]
        symbols = list(_symbols().values())
        tokens = [*symbols, *(f"{one}</w>" for one in symbols), *map("".join, pairs), START, END]
        self.encoder = {token: number for number, token in enumerate(tokens)}
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.vocab_size, self.context_length = len(self.encoder), context_length
        self.start, self.end, self.pad = self.encoder[START], self.encoder[END], 0
        self.clean: Callable[[str], str] = CLEANING[clean]
        self._known: dict[str, tuple[str, ...]] = {START: (START,), END: (END,)}
        self._words = regex.compile(
            rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without those around it."""
        symbols = _symbols()
        words = ("".join(symbols[byte] for byte in word.encode()) for word in self._words.findall(self.clean(text)))
        return [self.encoder[token] for word in words for token in self._tokens(word)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, a blank behind each word."""
        tokens, byte_of = {number: token for token, number in self.encoder.items()}, _bytes()
        text = "".join(tokens[int(number)] for number in ids)
        return bytes(byte_of[one] for one in text).decode(errors="replace").replace("</w>", " ")

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Int[Tensor, "q n"]:
        """Ids of texts with those around them, filled up to the context; a longer text is cut before its end."""
        context = context_length or self.context_length
        listed = [texts] if isinstance(texts, str) else texts
        rows = torch.full((len(listed), context), self.pad, dtype=torch.long)
        for row, text in zip(rows, listed, strict=True):
            ids = [self.start, *self.encode(text)[: context - 2], self.end]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    def _tokens(self, word: str) -> tuple[str, ...]:
        """The tokens of a word, whose pairs are merged in the order of their ranks."""
        if word not in self._known:
            tokens = (*word[:-1], f"{word[-1]}</w>")
            while len(tokens) > 1:
                best = min(pairwise(tokens), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if best not in self.ranks:
                    break
                tokens = _merged(tokens, best)
            self._known[word] = tokens
        return self._known[word]


def _merged(tokens: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """Tokens, with each occurrence of a pair as one, from the front."""
    found: list[str] = []
    place = 0
    while place < len(tokens):
        together = tokens[place : place + 2] == pair
        found.append("".join(pair) if together else tokens[place])
        place += 1 + together
    return tuple(found)


@cache
def _symbols() -> dict[int, str]:
    """A character for each byte: itself where it can be printed, one from 256 on where it cannot."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(others)}


@cache
def _bytes() -> dict[str, int]:
    return {symbol: byte for byte, symbol in _symbols().items()}
