"""Learnt vectors in the place of the texts of certain classes, which they begin as.

Source: Imam et al., CLIP meets DINO for Tuning Zero-Shot Classifier using Unlabeled Image Collections (NoLA), 2024,
https://arxiv.org/abs/2411.19346, whose classifier begins as the mean of descriptions and templates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import nn

from densevl.core.errors import UsageError
from densevl.core.vocabulary import normalised
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.contracts import Look

__all__ = ["ClassVectors"]


class ClassVectors(nn.Module):
    """A learnt vector of each of certain classes; other classes keep the texts of their names.

    Args:
        encoder: whose texts they begin as.
        names: of the classes.
        templates: what names are set into.
        descriptions: further texts of classes, by name; each counts as much as a name in a template.

    Attributes:
        vectors: of the classes, in their order.

    Raises:
        UsageError: where there is no name, or one is there twice.
    """

    towers: tuple[str, ...] = ("text",)
    conditional, reads_states = False, False

    def __init__(
        self,
        encoder: CLIPEncoder,
        names: Sequence[str],
        templates: Sequence[str] = ("a photo of a {}.",),
        descriptions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self.names, self.templates = tuple(names), tuple(templates)
        if not self.names or len({*self.names}) < len(self.names):
            raise UsageError(f"class-vectors: names are those of at least one class, each once; got {list(self.names)}")
        self.encode = encoder.embed_texts
        known = {normalised(name): tuple(texts) for name, texts in (descriptions or {}).items()}
        rows = []
        for name in self.names:
            texts = [template.replace("{}", name) for template in self.templates]
            texts += encoder.fit_texts(known.get(normalised(name), ()))[0]
            rows.append(encoder.embed_texts(texts).mean(dim=0))
        self.vectors = nn.Parameter(F.normalize(torch.stack(rows), dim=1).detach())

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting that a delta needs: what the vectors began as is in them."""
        return {"names": list(self.names), "templates": list(self.templates)}

    def class_vectors(self, names: Sequence[str], look: Look | None = None) -> Float32[torch.Tensor, "k d"]:
        """Unit vectors of classes.

        Args:
            names: of the classes; those that were not learnt have the texts of their names.
            look: not looked at.
        """
        own = {name: row for row, name in enumerate(self.names)}
        others = [name for name in names if name not in own]
        vectors = F.normalize(self.vectors, dim=1)
        if not others:
            return vectors[[own[name] for name in names]]
        texts = dict(zip(others, self.encode(others, self.templates), strict=True))
        return torch.stack([vectors[own[name]] if name in own else texts[name] for name in names])

    def attach(self, encoder: CLIPEncoder) -> None:
        """Leave free texts as they were."""

    def fold(self, encoder: CLIPEncoder) -> None:
        """Refuse: no weights of the encoder say it.

        Raises:
            UsageError: always.
        """
        raise UsageError("learnt vectors of classes are no weights of the encoder; keep them as a delta")
