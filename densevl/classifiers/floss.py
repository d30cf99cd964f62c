"""FLOSS: for each class the templates that an encoder is surest with, and experts of them that are merged.

Source: Benigmim et al., FLOSS: Free Lunch in Open-vocabulary Semantic Segmentation, ICCV 2025,
https://arxiv.org/abs/2504.10487 (yasserben/FLOSS ccf1d49). The expert of class c compares with the mean over the few
templates of c that have the lowest entropy, for all classes. With p^c its probabilities and p those of all templates::

    a vector takes p^c where argmax p^c = c, of several such c that with the largest p^c_c, and p where there is none

Templates are ranked on images without labels (:class:`densevl.classifiers.templates.Rankings`). The rankings that the
authors made are not at hand; a user makes them with :func:`densevl.rank_templates` and gives the file.

Where we differ: a class without a ranking, such as a background that was never found, has no expert.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.classifiers.contracts import Examples
from densevl.classifiers.templates import Rankings
from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary, templates

__all__ = ["FLOSS", "FlossClassifier", "merge_experts"]


def merge_experts(
    default: Float[Tensor, "*n k"], experts: Iterable[tuple[int, Float[Tensor, "*n k"]]]
) -> Float[Tensor, "*n k"]:
    """Probabilities of the experts where they vote for their own class, and of all templates elsewhere.

    Args:
        default: probabilities by all templates.
        experts: the class of each and its probabilities; one is looked at after the other. Of experts that are equally
            sure the first counts.
    """
    merged = default.clone()
    surest = torch.full_like(default[..., 0], -torch.inf)
    for label, probabilities in experts:
        best, winner = probabilities.max(-1)
        takes = (winner == label) & (best > surest)
        merged = torch.where(takes[..., None], probabilities, merged)
        surest = torch.where(takes, best, surest)
    return merged


@dataclass(frozen=True, eq=False)
class FlossClassifier:
    """Experts of the classes, and the classifier of all templates.

    Attributes:
        default: by all templates.
        chosen: indices of the templates of each expert.
        owners: the class of each expert.

    Raises:
        UsageError: where the texts have no vectors of each template.
    """

    default: TextClassifier
    chosen: Int[Tensor, "m t"]
    owners: Int[Tensor, " m"]

    space = None

    @property
    def texts(self) -> TextEmbeddings:
        """The vocabulary, embedded."""
        return self.default.texts

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return self.default.vocabulary

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.default.model_id

    @property
    def experts(self) -> Iterator[tuple[int, TextClassifier]]:
        """The class of each expert, and the expert, made when its turn comes."""
        each = self.texts.each
        if each is None:
            raise UsageError("the texts were embedded without the vectors of each template; embed them again")
        for label, chosen in zip(self.owners.tolist(), self.chosen.to(each.device), strict=True):
            vectors = F.normalize(each[:, chosen].mean(1), dim=1)
            yield label, replace(self.default, texts=replace(self.texts, vectors=vectors))

    def merged(self, probabilities: Callable[[TextClassifier], Float[Tensor, "*n k"]]) -> Float[Tensor, "*n k"]:
        """Merged probabilities, of vectors or of pixels.

        Args:
            probabilities: those of one classifier, classes last.
        """
        of_experts = ((label, probabilities(expert)) for label, expert in self.experts)
        return merge_experts(probabilities(self.default), of_experts)

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits: the logarithms of merged probabilities."""
        return self.merged(lambda one: one(vectors).softmax(-1)).log()


@dataclass(frozen=True)
class FLOSS:
    """The method; see above.

    Attributes:
        rankings: a file that :func:`densevl.rank_templates` made, what it holds, or the rankings themselves; without
            them nothing can be classified.
        count: templates of an expert.

    Raises:
        UsageError: where the file is missing or holds no rankings.
    """

    rankings: Any = None
    count: int = 4

    reads_templates = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"an expert has a template or more; got count={self.count}")
        if self.rankings is not None:
            object.__setattr__(self, "rankings", _read(self.rankings))

    @property
    def name(self) -> str:
        """Its kind and settings; rankings by their digest."""
        digest = None if self.rankings is None else self.rankings.digest
        return f"floss(count={self.count}, rankings={digest})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> FlossClassifier:
        """Experts of the classes of a vocabulary.

        Raises:
            UsageError: where there are examples or no rankings, or these are of another model, other templates or
                other classes.
        """
        if examples is not None:
            raise UsageError("the classifier `floss` uses no examples; take one that does, such as gda")
        if self.rankings is None:
            raise UsageError(
                "floss needs rankings of the templates, and those of the paper are not at hand: make a file of them "
                "with densevl.rank_templates on images of yours, and give it as classifier.rankings='rankings.json'"
            )
        chosen = self.rankings.best(texts, templates(texts.templates), self.count)
        owners = torch.tensor(sorted(chosen))
        places = torch.tensor([chosen[label] for label in owners.tolist()])
        return FlossClassifier(TextClassifier(texts, temperature), places, owners)


def _read(source: Rankings | Mapping[str, Any] | str | Path) -> Rankings:
    if isinstance(source, Rankings):
        return source
    return Rankings.load(source) if isinstance(source, str | Path) else Rankings.parse(source, "rankings")
