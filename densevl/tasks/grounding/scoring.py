"""From embeddings of regions and texts to scores and probabilities.

The score of region i for a text is that of FGVP (Yang et al., NeurIPS 2023, https://arxiv.org/abs/2306.04356; code at
commit 80b067b): the sum over CLIP models and visual prompts of logit scale · cos(marked image, "a photo of {text}").
Subtraction (their S, after Red Circle, Shtedritski et al., ICCV 2023) takes from it the mean score that the region has
for captions which have nothing to do with the image: what every caption likes about a region says nothing about this
one. Difference: the captions are a seeded draw from a bank of ours or of the caller's, where the code draws them anew
each time from the test split.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from densevl.core.errors import TextTooLong, UsageError, shortened, suggestion
from densevl.core.regions import RegionEmbeddings
from densevl.weights.table import DATA

__all__ = ["NegativeBank", "Scorer", "fit_temperature", "negative_bank", "part_scores", "unrelated"]

BANKS = DATA / "negatives"

VectorsByModel = Sequence[Mapping[str, Tensor]]
"""The unit vector of each text by each model."""


def part_scores(
    embeddings: RegionEmbeddings, texts: Float[Tensor, "q d"], scale: float, name: str = "region"
) -> dict[str, Float[Tensor, "n q"]]:
    """Scores of every region for every text by each visual prompt: weight · scale · cosine.

    Args:
        embeddings: of the regions by one model.
        texts: unit vectors by the same model.
        scale: the model's factor of cosines.
        name: of the only part, where the embeddings have no parts.
    """
    parts = embeddings.parts or {name: embeddings.vectors}
    return {
        part: embeddings.weights.get(part, 1.0) * scale * (vectors.float() @ texts.to(vectors).float().mT)
        for part, vectors in parts.items()
    }


@dataclass(frozen=True)
class NegativeBank:
    """Captions that have nothing to do with the images.

    Attributes:
        name: its name in reports.
        captions: the captions, drawn without repetition.
        seed: of the draw.
    """

    name: str
    captions: tuple[str, ...]
    seed: int = 0


def negative_bank(source: str | Path | Sequence[str] = "neutral", count: int = 500, seed: int = 0) -> NegativeBank:
    """Draw captions from a bank.

    Args:
        source: a name of a bank that comes with densevl, a text file with one caption a line, or the captions.
        count: how many are drawn; all where the bank has fewer.
        seed: the same seed draws the same captions.

    Raises:
        UsageError: where the bank is unknown or empty.
    """
    if isinstance(source, str | Path):
        name, captions = str(source), _read_bank(source)
    else:
        name, captions = "given", list(source)
        if not all(isinstance(text, str) for text in captions):
            raise UsageError(f"negative captions are texts; got {shortened(repr(source))}")
    captions = list(dict.fromkeys(text.strip() for text in captions if text.strip()))
    if not captions:
        raise UsageError(f"the bank of negative captions {name!r} is empty; give at least one caption")
    chosen = np.random.default_rng(seed).permutation(len(captions))[:count]
    return NegativeBank(name, tuple(captions[i] for i in sorted(chosen)), seed)


def unrelated(captions: Sequence[str], text: str) -> Bool[Tensor, " q"]:
    """Mask of the captions that share no word of three letters or more with a text."""
    said = _words(text)
    return torch.tensor([not said & _words(caption) for caption in captions], dtype=torch.bool)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower()))


def _read_bank(source: str | Path) -> list[str]:
    known = sorted(path.stem for path in BANKS.glob("*.json"))
    if str(source) in known:
        return _packaged(str(source))
    try:
        return Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the bank of negative captions {str(source)!r} is neither a name nor a readable text file ({error}); "
            f"{suggestion(str(source), known)}"
        ) from None


@cache
def _packaged(name: str) -> list[str]:
    """Every sentence that the patterns of a bank make: each slot takes each of its words in turn."""
    bank = json.loads((BANKS / f"{name}.json").read_text(encoding="utf-8"))
    return [sentence for pattern in bank["patterns"] for sentence in _fill(pattern, bank["slots"])]


def _fill(pattern: str, slots: Mapping[str, Sequence[str]]) -> list[str]:
    slot = next((name for name in slots if f"{{{name}}}" in pattern), None)
    if slot is None:
        return [pattern]
    return [text for word in slots[slot] for text in _fill(pattern.replace(f"{{{slot}}}", word, 1), slots)]


def fit_temperature(scores: Sequence[Float[Tensor, " _"]], targets: Int[Tensor, " e"]) -> float:
    """The temperature at which softmax(score / temperature) says best how likely each region is to be the right one.

    Calibration after Guo et al. (ICML 2017): the temperature of the least mean negative log-likelihood of the right
    regions, by golden-section search of its logarithm between 0.01 and 100. The order of regions does not change.

    Args:
        scores: of all regions of one expression each.
        targets: index of the right region of each expression.

    Raises:
        UsageError: where there is no example.
    """
    if not len(scores):
        raise UsageError("a temperature is fitted on examples; give at least one expression with its scores")

    padded = pad_sequence([row.double() for row in scores], batch_first=True, padding_value=-torch.inf)

    def loss(log: float) -> float:
        return float(cross_entropy(padded / np.exp(log), targets))

    low, high, ratio = np.log(0.01), np.log(100.0), (np.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, second) if loss(first) < loss(second) else (first, high)
    return float(np.exp((low + high) / 2))


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

    def embed(self, texts: Iterable[str]) -> VectorsByModel:
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
        self, embeddings: Sequence[RegionEmbeddings], vectors: VectorsByModel, text: str
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
        vectors: VectorsByModel,
        text: str,
        bank: Float[Tensor, "n q"] | None,
    ) -> float | None:
        """Fraction of the unrelated captions of the bank that suit no region as well as a text suits its best one.

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
