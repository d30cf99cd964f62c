"""Text towers of open_clip, with the context cut to the longest text of a batch.

A causal tower reads a text at its end-of-text token, and that token attends to nothing behind it. The padding up to the
full context (77 tokens, where a class name in a template has about ten) therefore cannot change the result, and is left
out. Towers that look ahead or read elsewhere (CoCa, CLIPA, Hugging Face text models) get the full context.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from open_clip import CLIP, CoCa, CustomTextCLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from densevl.blocks import run_block
from densevl.errors import UsageError

__all__ = ["TextTower"]

SENTENCES_AT_ONCE = 128


class TextTower:
    """The text tower of an open_clip model, and its tokenizer.

    Args:
        model: the model; it is referred to, not copied.
        tokenizer: maps texts to token ids "q n"; called with ``context_length=`` too.

    Attributes:
        short_context: whether tokens behind the one that is read cannot influence the embedding.
    """

    def __init__(self, model: CLIP | CustomTextCLIP | CoCa, tokenizer: Callable[..., Tensor]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        # The plain CLIP of open_clip holds the parts of its text tower itself.
        self.parts: Any = getattr(model, "text", model)
        self.pool_type = getattr(self.parts, "text_pool_type", None) or getattr(self.parts, "pool_type", None)
        self.short_context = self._reads_nothing_behind()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parts.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the arithmetic."""
        cast = getattr(getattr(self.parts, "transformer", None), "get_cast_dtype", None)
        return next(self.parts.parameters()).dtype if cast is None else cast()

    def embed(
        self, texts: Sequence[str], templates: Sequence[str], advance: Callable[[int], object]
    ) -> Float32[Tensor, "q d"]:
        """Unit vectors: each template's embedding normalised, averaged over the templates, normalised again.

        Args:
            texts: what is set into the templates, one by one.
            templates: texts with ``{}`` where the text goes.
            advance: told the number of sentences done, batch by batch.

        Raises:
            UsageError: where a text in a template exceeds the context.
        """
        tokens = self.tokenize([template.replace("{}", text) for text in texts for template in templates])
        # Batches of about equal length waste least; tokenizers pad with equal ids, and so a text ends where they begin.
        order = (tokens != tokens[:, -1:]).sum(dim=1).argsort(stable=True)
        units = []
        for rows in order.split(SENTENCES_AT_ONCE):
            units.append(F.normalize(self.encode(tokens[rows].to(self.device)).float(), dim=1))
            advance(len(rows))
        embeddings = torch.cat(units)[order.argsort()]
        return F.normalize(embeddings.unflatten(0, (len(texts), len(templates))).mean(dim=1), dim=1)

    def tokenize(self, sentences: Sequence[str]) -> Int[Tensor, "q n"]:
        """Token ids, padded to the full context.

        Raises:
            UsageError: where a sentence has more tokens than the context. open_clip would cut it silently, and ask
                for a class by the beginning of its name.
        """
        if not isinstance(self.tokenizer, SimpleTokenizer):
            return self.tokenizer(list(sentences))
        length = self.model.context_length
        # Padding is 0, so that with one place more a last token says that a text fills it, or was cut to fit.
        tokens = self.tokenizer(list(sentences), context_length=length + 1)
        too_long = tokens[:, -1].nonzero().flatten()
        if len(too_long):
            sentence = sentences[int(too_long[0])]
            shown = sentence if len(sentence) <= 120 else sentence[:117] + "..."
            raise UsageError(
                f"{shown!r} has {len(self.tokenizer.encode(sentence)) + 2} tokens, start and end included, and the "
                f"text encoder takes {length}; shorten the class name, or separate the classes where this is a list"
            )
        return tokens[:, :length]

    def encode(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q d"]:
        """Embeddings of tokenised texts, not normalised; equal to ``model.encode_text(tokens)``."""
        if not self.short_context:
            return self.model.encode_text(tokens)
        ends = tokens.argmax(dim=1) if self.pool_type == "argmax" else (tokens == self._end).int().argmax(dim=1)
        tokens = tokens[:, : int(ends.max()) + 1]
        tower = self.parts
        x = tower.token_embedding(tokens).to(self.dtype) + tower.positional_embedding[: tokens.shape[1]].to(self.dtype)
        for block in tower.transformer.resblocks:
            x = run_block(block, x, causal=True)["out"]
        x = tower.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    @property
    def _end(self) -> int:
        """Id of the end-of-text token, where the pool type is ``eos``."""
        return self.parts.text_eos_id if self.parts is self.model else self.parts.eos_id

    def _reads_nothing_behind(self) -> bool:
        mask = getattr(self.parts, "attn_mask", None)
        return (
            mask is not None
            and torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1))
            and getattr(self.parts, "cls_emb", None) is None
            and self.pool_type in ("argmax", "eos")
            and all(isinstance(block, ResidualAttentionBlock) for block in self.parts.transformer.resblocks)
        )
