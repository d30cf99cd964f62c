"""Nouns of expressions that are taught classes: what was taught then names the regions, and not the text model."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import check_classifier
from densevl.classifiers.text import region_probabilities
from densevl.regions.embedders.embedder import space_of
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.grounding.grounding import EncodedRegions
from densevl.tasks.grounding.nouns import head_noun, singular
from densevl.tasks.grounding.word_lists import word_lists

__all__ = ["NamedRegions", "TaughtNoun", "TaughtNouns"]


@dataclass(frozen=True)
class TaughtNoun:
    """A noun that is a taught class.

    Attributes:
        label: of the class.
        before: the words before it, such as "red"; empty for none.
    """

    label: int
    before: str


@dataclass(frozen=True, eq=False)
class NamedRegions:
    """How the regions of an image suit a text about a taught class.

    Attributes:
        logs: logarithm of the probability that a region shows the class.
        before: the words before the noun; empty for none.
        presence: 1 where the class is the most probable one of a region; below, how near it comes to it.
    """

    logs: Float64[Tensor, " n"]
    before: str
    presence: float


class TaughtNouns:
    """Finds taught classes in phrases, and scores regions by them.

    Args:
        classes: with a head for regions.
        pipeline: from images to the vectors of that head.

    Raises:
        UsageError: where the classes were taught for another model.
    """

    def __init__(self, classes: Classes, pipeline: RegionPipeline) -> None:
        self.classes, self.pipeline = classes, pipeline
        self.head = classes.head("regions")
        check_classifier(self.head, pipeline.embedder.encoder.model_id, space_of(pipeline.embedder))

    def noun(self, text: str) -> TaughtNoun | None:
        """The taught class that a phrase is about, by its name or a synonym, singular or plural; None for none."""
        found = head_noun(text)
        if found is None:
            return None
        words = text[: found.end()].casefold().split()
        last = singular(words[-1], word_lists())
        for ending in [words, *([[*words[:-1], last]] if last else [])]:
            for start in range(len(ending)):
                label = self.classes.label(" ".join(ending[start:]))
                if label is not None:
                    before = [word for word in ending[:start] if word not in ("the", "a", "an")]
                    return TaughtNoun(label, " ".join(before))
        return None

    def named(self, encoded: EncodedRegions, nouns: Mapping[str, TaughtNoun]) -> dict[str, NamedRegions]:
        """How each region of an image suits each of several texts.

        Args:
            encoded: the regions.
            nouns: the taught class of each text.
        """
        vectors = self.pipeline.embed([encoded.image], [encoded.regions])[0]
        each = region_probabilities(vectors, self.head).cpu().double().clamp(min=torch.finfo(torch.float64).tiny)
        shares = each / each.max(1, keepdim=True).values
        return {
            text: NamedRegions(each[:, noun.label].log(), noun.before, float(shares[:, noun.label].max()))
            for text, noun in nouns.items()
        }
