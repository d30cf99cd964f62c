"""Text towers of open_clip, with the context cut to the longest text of a batch.

A causal tower reads a text at its end-of-text token, and that token attends to nothing behind it. The padding up to the
full context (77 tokens, where a class name in a template has about ten) therefore cannot change the result, and is left
out. Towers that look ahead or read elsewhere (CoCa, CLIPA, Hugging Face text models) get the full context.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.core.attention import run_block
from densevl.encoders.texts.tokenizers import as_tokenizer, check_vocabulary, fit_texts, token_ids
from densevl.encoders.towers.open_clip import block_view, is_readable

__all__ = ["OpenClipTexts"]


class OpenClipTexts:
    """The text tower of an open_clip model, and its tokenizer.

    Args:
        model: of open_clip, or a pair of towers whose ``text`` is one of open_clip; it is referred to, not copied.
        tokenizer: a :class:`densevl.encoders.texts.tokenizers.Tokenizer`, one of open_clip, or another function from
            texts to ids "q n" as the model takes them; such a function is not checked for texts that it cuts.

    Attributes:
        short_context: whether tokens behind the one that is read cannot influence the embedding.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        # The standard CLIP of open_clip holds the parts of its text tower itself.
        self.tower: Any = getattr(model, "text", model)
        self.pool_type = getattr(self.tower, "text_pool_type", None) or getattr(self.tower, "pool_type", None)
        self.short_context = self._reads_nothing_behind()
        self.reader = as_tokenizer(tokenizer)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.tower.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the arithmetic."""
        cast = getattr(getattr(self.tower, "transformer", None), "get_cast_dtype", None)
        return next(self.tower.parameters()).dtype if cast is None else cast()

    def tokenize(self, sentences: Sequence[str], cut: bool = False) -> Int[Tensor, "q n"]:
        """Token ids, padded to the full context.

        Args:
            sentences: what is tokenised.
            cut: keep the beginning of a sentence that has more tokens than the context, as CLIP is trained.

        Raises:
            TextTooLong: where a sentence has more tokens than the context and is not to be cut. open_clip would cut it
                silently, and ask for a class by the beginning of its name.
            UsageError: where the tokenizer has more ids than the tower embeds.
        """
        if self.reader is None:
            return self.tokenizer(list(sentences))
        embedding = getattr(self.tower, "token_embedding", None)
        if embedding is not None:
            check_vocabulary(self.reader, len(embedding.weight))
        return token_ids(self.reader, sentences, self.context, cut)

    @property
    def context(self) -> int:
        """Tokens that a text may have, start and end included."""
        # A tower of transformers has more places than its texts were trained with, or says none.
        found = (self.tower.context_length, getattr(self.reader, "context", None))
        return min(length for length in found if length)

    def fit(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """Texts without the last words that would not fit in the context, and how many of them lost words.

        A function in the place of a tokenizer may cut texts itself, and they are kept as they are.
        """
        if self.reader is None:
            return list(texts), 0
        return fit_texts(self._fits, texts, template)

    def _fits(self, sentence: str) -> bool:
        assert self.reader is not None
        around = sum(one is not None for one in (self.reader.start, self.reader.end))
        return len(self.reader.encode(sentence)) <= self.context - around

    def encode(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q d"]:
        """Embeddings of tokenised texts, not normalised; equal to ``model.encode_text(tokens)``."""
        if not self.short_context:
            return self.model.encode_text(tokens)
        ends = self.ends(tokens)
        tokens = tokens[:, : int(ends.max()) + 1]
        return self.run(self.embedded(tokens), ends)

    def ends(self, tokens: Int[Tensor, "q n"]) -> Int[Tensor, " q"]:
        """Place of the token that each text is read at, where nothing behind it is read."""
        return tokens.argmax(dim=1) if self.pool_type == "argmax" else (tokens == self._end).int().argmax(dim=1)

    def embedded(self, tokens: Int[Tensor, "*q n"]) -> Float[Tensor, "*q n c"]:
        """Vectors of tokens, without those of their places."""
        return self.tower.token_embedding(tokens).to(self.dtype)

    def run(
        self,
        x: Float[Tensor, "q n c"],
        ends: Int[Tensor, " q"],
        between: Callable[[int, Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "q d"]:
        """Embeddings of texts whose tokens are vectors already, not normalised; of a tower that reads nothing behind.

        Args:
            x: vectors of tokens, without those of their places.
            ends: place of the token that each text is read at.
            between: changes the tokens before a block other than the first, given the place of the block; tokens
                that it adds lie before the ends.
        """
        tower = self.tower
        ends = ends - x.shape[1]
        x = x + tower.positional_embedding[: x.shape[1]].to(x.dtype)
        for place, block in enumerate(tower.transformer.resblocks):
            if place and between is not None:
                x = between(place, x)
            x = run_block(block_view(block), x, causal=True)["out"]
        x = tower.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    @property
    def _end(self) -> int:
        """Id of the end-of-text token, where the pool type is ``eos``."""
        return self.tower.text_eos_id if self.tower is self.model else self.tower.eos_id

    def _reads_nothing_behind(self) -> bool:
        mask = getattr(self.tower, "attn_mask", None)
        return (
            mask is not None
            and torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1))
            and getattr(self.tower, "cls_emb", None) is None
            and self.pool_type in ("argmax", "eos")
            and all(map(is_readable, self.tower.transformer.resblocks))
        )
