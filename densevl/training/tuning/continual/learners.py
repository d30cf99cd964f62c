"""Ways to learn in sessions: an encoder that is tuned on and on, and Gaussian classes of an encoder that stays.

A *lesson* is what one session brings. Of the earlier ones no example is kept; what a learner keeps is its ``state``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from densevl.classifiers.contracts import Examples
from densevl.classifiers.gda_prior import GDAPrior
from densevl.classifiers.sums import Sums
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.tuning.attached import attached
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.training.tuning.contracts import Looks
from densevl.training.tuning.looks import Shown, clip_of, looks_of
from densevl.training.tuning.methods import Settings
from densevl.training.tuning.model import Task, TunedCLIP, copied
from densevl.training.tuning.run import run_tuning

__all__ = ["IncrementalGDA", "Learner", "Lesson", "TunedLearner", "scaled_gradients"]

TOGETHER = 32
"""Examples that are encoded together."""

VIEWS, CROP = 5, (0.5, 1.0)
"""Looks at each example that Gaussian classes are made of, the first one unchanged, and how much they see of it."""


@dataclass(frozen=True)
class Lesson:
    """What a session brings.

    Attributes:
        shown: its examples, image by image.
        labels: class of each example among ``names``.
        names: of all classes so far, those of earlier sessions first.
        old: number of the classes of earlier sessions.
    """

    shown: Sequence[Shown]
    labels: Sequence[int]
    names: tuple[str, ...]
    old: int


@runtime_checkable
class Learner(Protocol):
    """A way to learn in sessions."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides what it learns: JSON values only."""
        ...

    def learn(self, lesson: Lesson) -> None:
        """Take up a session."""
        ...

    def looks(self, shown: Sequence[Shown]) -> Looks:
        """How it looks at examples that it is asked about."""
        ...

    def vectors(self, looks: Looks) -> Float[Tensor, "n d"]:
        """What it sees now: unit vectors."""
        ...

    def logits(self, vectors: Float[Tensor, "n d"], names: Sequence[str]) -> Float[Tensor, "n k"]:
        """How it tells classes apart; it may never have learnt them.

        Args:
            vectors: what it saw.
            names: of the classes.
        """
        ...

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "m d"]:
        """Unit vectors of texts, to compare images with."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All that it has learnt, by name."""
        ...

    def restore(self, lesson: Lesson, state: Mapping[str, Tensor]) -> None:
        """Know what it knew after a lesson.

        Args:
            lesson: the last one.
            state: what it had then learnt.
        """
        ...


@contextmanager
def scaled_gradients(tunables: Iterable[nn.Module], beginnings: Sequence[str], share: int | float) -> Iterator[None]:
    """Multiply gradients of some parameters; CPE-CLIP does so in every session but the first, by the share of the new
    classes.

    Args:
        tunables: whose parameters.
        beginnings: of the names of the parameters.
        share: the factor.
    """
    hooks = [
        parameter.register_hook(partial(torch.mul, other=share))
        for tunable in tunables
        for name, parameter in tunable.named_parameters()
        if name.startswith(tuple(beginnings))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class TunedLearner:
    """An encoder whose tunables are tuned on in each session.

    Args:
        model: the encoder with its tunables.
        embedder: of this encoder.
        before: another embedder, of the encoder without tunables; it stays as it is.
        amp: compute in bfloat16 where that is safe.

    Raises:
        UsageError: where the texts of classes depend on the image.
    """

    def __init__(self, model: TunedCLIP, embedder: RegionEmbedder, before: RegionEmbedder, amp: bool = False) -> None:
        if model.class_texts is not None and model.class_texts.conditional:
            raise UsageError(
                "texts of classes that depend on the image are not learnt in sessions; take another method"
            )
        self.model, self.embedder, self.before, self.amp = model, embedder, before, amp
        self.tuned = "image" in model.tuned_towers

    @classmethod
    def of(
        cls, before: RegionEmbedder, settings: Settings, templates: Sequence[str] = ("{}",), seed: int = 0
    ) -> "TunedLearner":
        """One that begins with a copy of an encoder.

        Args:
            before: an embedder of the encoder.
            settings: of the method.
            templates: what names are set into.
            seed: of what is drawn.
        """
        embedder = copied(before)
        temperature = float(getattr(before.encoder, "temperature", clip_of(before).temperature))
        return cls(TunedCLIP(clip_of(embedder), settings, templates, temperature, seed), embedder, before)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the method, and the seed."""
        return {**self.model.settings.facts, "seed": self.model.seed}

    def learn(self, lesson: Lesson) -> None:
        """Tune on the examples of a session."""
        settings = self.model.settings
        seen = partial(looks_of, crop=settings.crop, flip=settings.flip, views=settings.views)
        before, texts = None, None
        if "before" in self.model.needs:
            earlier = copied(self.before)
            encoder = attached(clip_of(earlier), self.model.delta())
            before = seen(earlier, lesson.shown, self.tuned)
            texts = encoder.embed_texts(lesson.names, self.model.templates)
        looks = seen(self.embedder, lesson.shown, self.tuned)
        self.model.turn_to(Task(looks, lesson.labels, lesson.names, before, texts, old=lesson.old))
        steps = settings.length(len(lesson.labels), max(Counter(lesson.labels).values()))
        wanted = tuple((settings.sessions or {}).get("scaled", ())) if lesson.old else ()
        with scaled_gradients(self.model.tunables, wanted, 1 - lesson.old / len(lesson.names)):
            run_tuning(self.model, steps, amp=self.amp)

    def looks(self, shown: Sequence[Shown]) -> Looks:
        """Looks at examples as they are."""
        return looks_of(self.embedder, shown, self.tuned, views=1)

    def vectors(self, looks: Looks) -> Float[Tensor, "n d"]:
        """Unit vectors by the encoder as it is now."""
        return _seen(looks)

    @torch.no_grad()
    def logits(self, vectors: Float[Tensor, "n d"], names: Sequence[str]) -> Float[Tensor, "n k"]:
        """Cosines with the texts of the names."""
        return vectors @ self.model.texts(names).mT

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "m d"]:
        """Unit vectors by the encoder as it is now."""
        return self.model.encoder.embed_texts(texts)

    def state(self) -> dict[str, Tensor]:
        """The parameters of the tunables."""
        return {name: value.detach().clone() for name, value in self.model.tunables.named_parameters()}

    def restore(self, lesson: Lesson, state: Mapping[str, Tensor]) -> None:
        """Fill the tunables."""
        for name, parameter in self.model.tunables.named_parameters():
            parameter.data.copy_(state[name])


class IncrementalGDA:
    """Gaussian classes of the vectors of the encoder as it came: their sums add up, so that nothing is forgotten.

    It is the arithmetic of ``densevl teach --add-to``, with the names as a prior: what it knows after the last session
    is what it would know had all examples come at once. A class that it was never taught lies where its name says.

    Args:
        embedder: of the encoder.
        templates: what names are set into.
    """

    def __init__(self, embedder: RegionEmbedder, templates: Sequence[str] = ("{}",)) -> None:
        self.embedder, self.encoder, self.templates = embedder, clip_of(embedder), tuple(templates)
        self.method = GDAPrior()
        self.names: tuple[str, ...] = ()
        self.sums: Sums | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The method and the views."""
        return {"method": self.method.name, "views": VIEWS, "crop": list(CROP)}

    def learn(self, lesson: Lesson) -> None:
        """Add the sums of the examples of a session."""
        looks = looks_of(self.embedder, lesson.shown, False, CROP, True, VIEWS)
        views = [_seen(looks, view) for view in range(VIEWS)]
        labels = torch.tensor(list(lesson.labels)).repeat(VIEWS)
        weights = torch.full((len(labels),), 1 / VIEWS)
        examples = Examples(torch.cat(views), labels, self.encoder.model_id, weights=weights)
        own = Sums.counted(self.method, examples, len(lesson.names))
        before = self.sums
        self.sums = own if before is None else before.placed(range(len(before)), len(lesson.names)) + own
        self.names = lesson.names

    def looks(self, shown: Sequence[Shown]) -> Looks:
        """Looks at examples as they are, made once."""
        return looks_of(self.embedder, shown, False, views=1)

    def vectors(self, looks: Looks) -> Float[Tensor, "n d"]:
        """Unit vectors by the encoder as it came."""
        return _seen(looks)

    @torch.no_grad()
    def logits(self, vectors: Float[Tensor, "n d"], names: Sequence[str]) -> Float[Tensor, "n k"]:
        """Logits of Gaussian classes, those that were taught and those that a name alone says."""
        every = tuple(dict.fromkeys([*self.names, *names]))
        vocabulary = Vocabulary.of([[name] for name in every])
        texts = self.encoder.embed_texts(every, self.templates).float().cpu()
        known = TextEmbeddings(texts, torch.arange(len(every)), vocabulary, self.encoder.model_id, "none")
        assert self.sums is not None
        sums = self.sums.placed(range(len(self.sums)), len(every))
        found = self.method.of_sums(known, sums, float(self.encoder.temperature))(vectors)
        return found[:, [every.index(name) for name in names]]

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "m d"]:
        """Unit vectors by the encoder as it came."""
        return self.encoder.embed_texts(texts)

    def state(self) -> dict[str, Tensor]:
        """The sums."""
        return {} if self.sums is None else {name: value.clone() for name, value in vars(self.sums).items()}

    def restore(self, lesson: Lesson, state: Mapping[str, Tensor]) -> None:
        """Take the sums and the names of the classes that they are of."""
        self.sums = Sums(**{name: state[name] for name in ("counts", "totals", "squares")})
        self.names = lesson.names


@torch.no_grad()
def _seen(looks: Looks, view: int = 0) -> Float[Tensor, "n d"]:
    """Unit vectors of all examples, on the CPU.

    Args:
        looks: at them.
        view: which look at each; 0 for the unchanged one.
    """
    places = [range(start, min(start + TOGETHER, len(looks))) for start in range(0, len(looks), TOGETHER)]
    seeds = None if view == 0 else view
    return torch.cat([looks.look(some, [seeds] * len(some)).vectors.float().cpu() for some in places])
