"""The scores of regions for texts, summed over models and visual prompts; texts are embedded once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import TextTooLong, UsageError, shortened
from densevl.core.regions import RegionEmbeddings
from densevl.tasks.grounding.scoring import NegativeBank, part_scores, unrelated

__all__ = ["Scorer"]

TextVectors = Sequence[Mapping[str, Tensor]]
"""The unit vector of each text by each model."""


class Scorer:
    """Scores texts against regions that several models embedded.

    Args:
        embedders: the region embedders; their encoders embed the texts.
        template: text round every text, with ``{}`` in it.
        bank: negative captions, whose vectors are kept; None for none.
    """

    def __init__(self, embedders: Any, template: str, bank: NegativeBank | None) -> None:
        self.embedders, self.template, self.bank = list(embedders), template, bank
        self._negatives: dict[tuple[str, torch.dtype], Tensor] = {}

    def embed(self, texts: Iterable[str]) -> TextVectors:
        """The unit vectors of texts, equal ones once.

        Raises:
            UsageError: where a text is longer than a text encoder takes.
        """
        known = list(dict.fromkeys(texts))
        if not known:
            return [{} for _ in self.embedders]
        try:
            every = [embedder.encoder.embed_texts(known, [self.template]) for embedder in self.embedders]
        except TextTooLong as error:
            longest = max(known, key=len)
            raise UsageError(
                f"the expression {shortened(longest)!r} of {len(longest.split())} words has {error.tokens} tokens, and "
                f"the text encoder takes {error.context}; describe the thing in fewer words"
            ) from error
        return [dict(zip(known, vectors, strict=True)) for vectors in every]

    def parts(
        self, embeddings: Sequence[RegionEmbeddings], vectors: Sequence[Float[Tensor, "q _"]]
    ) -> dict[str, Float[Tensor, "n q"]]:
        """Scores by each model and visual prompt.

        Args:
            embeddings: of the regions, by each model.
            vectors: unit vectors of the texts, by each model.
        """
        scores: dict[str, Tensor] = {}
        for embedder, of_model, texts in zip(self.embedders, embeddings, vectors, strict=True):
            arch = f"{of_model.model_id.partition('@')[0]} " if len(self.embedders) > 1 else ""
            found = part_scores(of_model, texts, embedder.encoder.temperature)
            scores.update({f"{arch}{name}": values.cpu() for name, values in found.items()})
        return scores

    def parts_of(
        self, embeddings: Sequence[RegionEmbeddings], vectors: TextVectors, text: str
    ) -> dict[str, Float[Tensor, " n"]]:
        """Scores of one text that :meth:`embed` embedded, by each model and visual prompt."""
        found = self.parts(embeddings, [of_model[text][None] for of_model in vectors])
        return {name: values[:, 0] for name, values in found.items()}

    def bank_scores(self, embeddings: Sequence[RegionEmbeddings]) -> Float[Tensor, "n q"] | None:
        """The sum of all parts for every caption of the bank."""
        if self.bank is None:
            return None
        vectors = []
        for embedder in self.embedders:
            encoder = embedder.encoder
            key = (encoder.model_id, next(encoder.parameters()).dtype)
            if key not in self._negatives:
                self._negatives[key] = encoder.embed_texts(self.bank.captions, [self.template])
            vectors.append(self._negatives[key])
        return torch.stack(list(self.parts(embeddings, vectors).values())).sum(0)

    def presence(
        self,
        embeddings: Sequence[RegionEmbeddings],
        vectors: TextVectors,
        text: str,
        bank: Float[Tensor, "n q"] | None,
    ) -> float | None:
        """Share of the unrelated captions of the bank that suit no region as well as a text suits its best one.

        Args:
            embeddings: of the regions, by each model.
            vectors: of the text among others, as :meth:`embed` gives them.
            text: the words to judge.
            bank: what :meth:`bank_scores` gives; None gives None, and so does a bank without an unrelated caption.
        """
        if self.bank is None or bank is None:
            return None
        best = torch.stack(list(self.parts_of(embeddings, vectors, text).values())).sum(0).max()
        beaten = (bank.max(0).values < best)[unrelated(self.bank.captions, text)]
        return float(beaten.float().mean()) if len(beaten) else None
