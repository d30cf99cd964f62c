"""Text templates ranked for each class by how sure an encoder is with them, on images without labels.

Source: FLOSS, see :mod:`densevl.classifiers.floss`. With H the entropy of the probabilities of all classes, when each
query is set into the template t alone, and S_ct the places where they are largest for class c::

    entropy_ct = mean of H over S_ct          the lower, the better the template t for the class c

A template that never finds a class comes behind all that do. Where we differ: places are the patches of the windows
and not the pixels of the image.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from densevl.classifiers.text import pooled
from densevl.core.errors import UsageError, shortened
from densevl.core.features import TextEmbeddings
from densevl.core.files import atomic_write, read_json

__all__ = ["Rankings", "TemplateEntropies"]


@dataclass(frozen=True)
class Rankings:
    """Templates of each class, the best first.

    Attributes:
        model_id: identity of the encoder that they are of.
        templates: name of the list of templates.
        classes: the templates of each class by its name; a class that was never found is missing.
        classified: names of all classes that were told apart.
    """

    model_id: str
    templates: str
    classes: Mapping[str, tuple[str, ...]]
    classified: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Identity of what they say."""
        return hashlib.sha256(json.dumps(self.data, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def data(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        ranked = {name: list(found) for name, found in self.classes.items()}
        return {
            "encoder": self.model_id,
            "templates": self.templates,
            "classified": list(self.classified),
            "classes": ranked,
        }

    @classmethod
    def load(cls, path: str | Path) -> "Rankings":
        """Read a file.

        Raises:
            UsageError: where it is missing, no JSON, or holds no rankings.
        """
        return cls.parse(read_json(Path(path).expanduser()), str(path))

    @classmethod
    def parse(cls, data: Any, source: str) -> "Rankings":
        """Rankings of JSON values.

        Args:
            data: as :attr:`data` gives it.
            source: where it is from, for errors.

        Raises:
            UsageError: where it is something else.
        """
        try:
            classes = {str(name): _texts(found) for name, found in data["classes"].items()}
            return cls(str(data["encoder"]), str(data["templates"]), classes, _texts(data["classified"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise UsageError(
                f"{source} holds no rankings of templates ({shortened(repr(error), 80)}); expected encoder, templates, "
                "classified and classes, as densevl.rank_templates writes them"
            ) from None

    def save(self, path: str | Path) -> None:
        """Write a file, from which :meth:`load` reads them."""
        with atomic_write(Path(path)) as file:
            file.write_text(json.dumps(self.data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def best(self, texts: TextEmbeddings, templates: Sequence[str], count: int) -> dict[int, list[int]]:
        """Indices of the best templates of each class of a vocabulary that has a ranking.

        Args:
            texts: the vocabulary.
            templates: those that it was embedded with.
            count: how many.

        Raises:
            UsageError: where the rankings are of another model, other templates or other classes, or have fewer.
        """
        for what, own, other in (
            ("encoder", self.model_id, texts.model_id),
            ("templates", self.templates, texts.templates),
        ):
            if own != other:
                raise UsageError(f"the rankings are of the {what} {own!r}, and this is {other!r}; rank again")
        silent = set(range(len(texts.vocabulary))) - set(texts.query_classes.tolist())
        names = [name for label, name in enumerate(texts.vocabulary.names) if label not in silent]
        missing = [name for name in names if name not in self.classified]
        if missing:
            raise UsageError(
                f"there is no ranking of {shortened(', '.join(missing), 80)}: entropies depend on the classes beside; "
                "rank the templates for these classes"
            )
        places = {template: index for index, template in enumerate(templates)}
        found = {}
        for label, name in enumerate(texts.vocabulary.names):
            ranked = self.classes.get(name, ())
            unknown = [template for template in ranked[:count] if template not in places]
            if unknown or (ranked and len(ranked) < count):
                wrong = (
                    f"the template {unknown[0]!r} is none of {texts.templates}" if unknown else f"{len(ranked)} only"
                )
                raise UsageError(f"{count} ranked templates of {name!r} are wanted: {wrong}; rank again")
            if ranked:
                found[label] = [places[template] for template in ranked[:count]]
        if not found:
            raise UsageError("the rankings have no class, since none was found in the images; take others")
        return found


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise TypeError(f"expected a list of texts; got {shortened(repr(values), 40)}")
    return tuple(values)


class TemplateEntropies:
    """Mean entropies of classes and templates, that grow image by image.

    Args:
        texts: a vocabulary with the vectors of each template.
        temperature: factor of the cosines.

    Raises:
        UsageError: where the vectors of each template are missing.
    """

    def __init__(self, texts: TextEmbeddings, temperature: float) -> None:
        if texts.each is None:
            raise UsageError("the texts were embedded without the vectors of each template; embed them again")
        self.texts, self.temperature, self.each = texts, temperature, texts.each
        shape = (len(texts.vocabulary), texts.each.shape[1])
        self.sums = torch.zeros(shape, dtype=torch.float64)
        self.counts = torch.zeros(shape, dtype=torch.float64)

    def add(self, units: Float[Tensor, "n d"]) -> None:
        """Look at more places.

        Args:
            units: unit vectors.
        """
        classes, owners = len(self.texts.vocabulary), self.texts.query_classes
        for template, vectors in enumerate(self.each.unbind(1)):
            logits = self.temperature * (units @ vectors.to(units).mT)
            shares = pooled(logits, owners, classes).log_softmax(-1)
            entropy = -(shares.exp() * shares.clamp(min=torch.finfo(shares.dtype).min)).sum(-1).cpu().double()
            winner = shares.argmax(-1).cpu()
            self.sums[:, template].index_add_(0, winner, entropy)
            self.counts[:, template].index_add_(0, winner, torch.ones_like(entropy))

    @property
    def means(self) -> Float64[Tensor, "k t"]:
        """Mean entropy of each class with each template; infinite where the template never finds the class."""
        return torch.where(self.counts > 0, self.sums / self.counts.clamp(min=1), torch.inf)

    def rankings(self, templates: Sequence[str]) -> Rankings:
        """The templates of each class that some of them found, the best first.

        Args:
            templates: in the order of the vectors.
        """
        means, names = self.means, self.texts.vocabulary.names
        ranked = {
            name: tuple(templates[index] for index in row.argsort(stable=True).tolist())
            for name, row in zip(names, means, strict=True)
            if row.isfinite().any()
        }
        return Rankings(self.texts.model_id, self.texts.templates, ranked, names)
