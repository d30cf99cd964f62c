"""Classes: a vocabulary that a model was taught by examples, and how it tells them apart; one value, one file.

The file is safetensors: numbers by name, and a header that any text viewer shows::

    format    "densevl classes 1"
    classes   the vocabulary: names and synonyms, the background, colours
    model     what loads the model that was taught
    delta     what tuning learnt inside the encoder of the model, where something was; see :mod:`densevl.core.delta`
    heads     of each head its kind, its space, its model_id; method, settings, shots, seed, examples, held-out figures

A *head* tells the classes apart by one kind of vectors: ``regions`` by those of boxes and masks, ``pixels`` by those of
dense features, ``sequences`` by those of frames over time. Nothing in a file is executed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import safetensors
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from densevl.classifiers.conditional import conditional_parts
from densevl.classifiers.contracts import Classifier
from densevl.classifiers.evidence import Evidence
from densevl.classifiers.stored import restored, stored
from densevl.classifiers.sums import Sums
from densevl.classifiers.unknown import Known, OpenClassifier, with_unknown
from densevl.core.delta import Delta
from densevl.core.errors import UsageError, WeightsError, shortened
from densevl.core.files import atomic_write, parse_json
from densevl.core.tensor_bytes import tensor_bytes
from densevl.core.vocabulary import Vocabulary

__all__ = ["HEADS", "Classes", "Head"]

HEADS = ("regions", "pixels", "sequences")
"""The vectors that classes can be told apart by: those of regions, of dense features, and of frames over time."""

FORMAT, VERSION = "densevl classes", 1

EVIDENCE = ("vectors", "labels", "boxes", "places", "scores", "truths", "doubts")
"""Tensors of the evidence of a head."""


@dataclass(frozen=True, eq=False)
class Head:
    """How classes are told apart by one kind of vectors.

    Attributes:
        classifier: from vectors to logits; calibrated, so that their softmax says how often an answer is right.
        dim: numbers of a vector.
        sums: of the examples, where the method can go on from them; None where it cannot.
        facts: what is known of it, JSON values only: ``method`` and ``settings``, ``shots`` by name, ``views``,
            ``seed``, ``examples`` (a hash of them), ``held_out`` (``accuracy``, ``ece``, ``nll``, ``temperature``,
            ``folds``), and what later tests add.
        evidence: the examples themselves, and how held-out ones were answered; None where it was not kept.
    """

    classifier: Classifier
    dim: int
    sums: Sums | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))

    def supported(self) -> Evidence:
        """The evidence.

        Raises:
            UsageError: where it was not kept.
        """
        if self.evidence is None:
            raise UsageError("the classes do not say what they were taught by; teach them anew with this densevl")
        return self.evidence

    @cached_property
    def known(self) -> Known:
        """Where the vectors of the classes lie.

        Raises:
            UsageError: where nothing was kept of the examples.
        """
        if self.sums is not None:
            return Known.of(self.sums)
        own = self.supported()
        return Known.of(Sums.of(own.vectors.float(), own.labels, len(self.classifier.vocabulary)))


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes that a model was taught; every command takes them where it takes names.

    Attributes:
        vocabulary: their names and synonyms.
        heads: by name, one or more of :data:`HEADS`.
        model: what loads the model that was taught, such as ``{"name": "mini"}``.
        delta: what tuning learnt inside its encoder; None where nothing was tuned.

    Raises:
        UsageError: where there is no head, or a head has other classes.
    """

    vocabulary: Vocabulary
    heads: Mapping[str, Head]
    model: Mapping[str, Any] = field(default_factory=dict)
    delta: Delta | None = None

    def __post_init__(self) -> None:
        if not self.heads or not set(self.heads) <= set(HEADS):
            raise UsageError(
                f"classes have one head or more of {', '.join(HEADS)}; got {', '.join(self.heads) or 'none'}"
            )
        for name, head in self.heads.items():
            if head.classifier.vocabulary.classes != self.vocabulary.classes:
                raise UsageError(f"the head {name!r} tells other classes apart than {', '.join(self.vocabulary.names)}")
        object.__setattr__(self, "heads", MappingProxyType(dict(self.heads)))
        object.__setattr__(self, "model", MappingProxyType(dict(self.model)))

    def __repr__(self) -> str:
        """Names and heads."""
        return f"Classes({shortened(', '.join(self.vocabulary.names), 60)!r}, {'+'.join(self.heads)}, {self.digest})"

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.vocabulary)

    @property
    def names(self) -> tuple[str, ...]:
        """The first name of each class."""
        return self.vocabulary.names

    def head(self, name: str) -> Classifier:
        """The classifier of a head.

        Raises:
            UsageError: where the classes were taught without it.
        """
        if name not in self.heads:
            raise UsageError(
                f"the classes {shortened(', '.join(self.names), 60)} were taught for {', '.join(self.heads)} and not "
                f"for {name}; teach them with --for {'sequences' if name == 'sequences' else 'both'}"
            )
        return self.heads[name].classifier

    def label(self, name: str) -> int | None:
        """The label of the class that has a name or a synonym; None where there is none."""
        return self.vocabulary.label(name)

    def with_unknown(self, share: int | float) -> "Classes":
        """The same classes and, after them, *unknown*: what looks like none of them.

        Args:
            share: of known things that may be called unknown, in (0, 0.5], such as 0.05.

        Raises:
            UsageError: where the share is outside, too few examples were held out for it, or a class is called so.
        """
        words = with_unknown(self.vocabulary)
        heads = {}
        for name, head in self.heads.items():
            limit = head.supported().limit(share)
            heads[name] = replace(head, classifier=OpenClassifier(head.classifier, head.known, limit, words))
        return replace(self, vocabulary=words, heads=heads)

    def sets(
        self, vectors: Float[Tensor, "n d"], coverage: int | float = 0.9, each: bool = False, head: str = "regions"
    ) -> Bool[Tensor, "n k"]:
        """Sets of classes, which hold the true one of about the fraction of new examples that is asked for.

        Args:
            vectors: unit vectors of the space of the head.
            coverage: the fraction, in (0, 1).
            each: keep the promise for each class by itself, which takes more examples and makes larger sets.
            head: whose vectors they are.

        Raises:
            UsageError: where the coverage is outside (0, 1), or too few examples were held out to promise it.
        """
        probabilities = self.head(head)(vectors).softmax(-1)
        return self.heads[head].supported().sets(probabilities.cpu(), coverage, each)

    def noted(self, head: str, **facts: Any) -> "Classes":
        """The same classes with further facts of a head, JSON values only.

        Raises:
            UsageError: where the classes were taught without the head.
        """
        self.head(head)
        found = self.heads[head]
        return replace(self, heads={**self.heads, head: replace(found, facts={**found.facts, **facts})})

    @cached_property
    def digest(self) -> str:
        """The beginning of a hash of the file, for fingerprints."""
        return hashlib.sha256(self._bytes()).hexdigest()[:12]

    def _bytes(self) -> bytes:
        """The file; equal classes give equal bytes."""
        tensors: dict[str, Tensor] = {}
        heads = {}
        for name, head in self.heads.items():
            described, own = stored(head.classifier)
            tensors.update({f"{name}.{key}": tensor for key, tensor in own.items()})
            if head.sums is not None:
                tensors.update({f"{name}.sums.{key}": tensor for key, tensor in vars(head.sums).items()})
            own_evidence = head.evidence
            if own_evidence is not None:
                parts = {key: getattr(own_evidence, key).contiguous() for key in EVIDENCE}
                tensors.update({f"{name}.evidence.{key}": tensor for key, tensor in parts.items()})
            identity = {"model_id": head.classifier.model_id, "space": head.classifier.space, "dim": head.dim}
            shown = {} if own_evidence is None else {"images": own_evidence.images}
            heads[name] = {**identity, "facts": dict(head.facts), "classifier": described, **shown}
        words = {
            name: getattr(self.vocabulary, name) for name in ("name", "classes", "background", "palette", "source")
        }
        header = {"classes": words, "model": dict(self.model), "heads": heads}
        texts = {name: json.dumps(value, ensure_ascii=False) for name, value in header.items()}
        if self.delta is not None:
            tensors.update(self.delta.flat)
            texts["delta"] = self.delta.header
        return tensor_bytes(tensors, {"format": f"{FORMAT} {VERSION}", **texts})

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: where it cannot be written.
            UsageError: where *unknown* is among the classes, which is chosen when they are used.
        """
        if any(isinstance(head.classifier, OpenClassifier) for head in self.heads.values()):
            raise UsageError("save the classes as they were taught: `unknown` is chosen when they are used")
        content = self._bytes()
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path) -> "Classes":
        """Read a file that :meth:`save` wrote.

        Raises:
            UsageError: where there is no such file.
            WeightsError: where it is damaged, holds something else, or was written by a later densevl.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {path}; make one with `densevl teach EXAMPLES --out {path}`")
        try:
            with safetensors.safe_open(path, "pt") as file:
                texts, tensors = dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict)
        except (safetensors.SafetensorError, ValueError, OSError) as error:
            raise WeightsError(
                f"{path} is no file of classes, or is damaged ({error}); teach the classes anew"
            ) from None
        _check_format(texts.get("format", ""), path)
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise WeightsError(f"{path} is damaged: it holds values that are not finite; teach the classes anew")
        try:
            return _read(cls, texts, tensors)
        except (UsageError, KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            what = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
            raise WeightsError(f"{path} is damaged ({shortened(what)}); teach the classes anew") from None


def _check_format(found: str, path: Path) -> None:
    """Refuse files of something else, and of the future.

    Raises:
        WeightsError: where it is one.
    """
    kind, _, version = found.rpartition(" ")
    if kind != FORMAT or not version.isdecimal():
        raise WeightsError(f"{path} holds no classes but other tensors; give a file that `densevl teach` wrote")
    if int(version) > VERSION:
        raise WeightsError(
            f"{path} was written by a later densevl (format {version}; this one reads up to {VERSION}); update densevl"
        )


def _read(cls: type[Classes], texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Classes:
    words, model, heads = (parse_json(texts[name]) for name in ("classes", "model", "heads"))
    grouped = tuple(tuple(synonyms) for synonyms in words["classes"])
    palette = tuple((int(red), int(green), int(blue)) for red, green, blue in words["palette"])
    vocabulary = Vocabulary(str(words["name"]), grouped, words["background"], palette, str(words["source"]))
    found = {}
    for name, head in heads.items():
        own = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
        classifier = restored(head["classifier"], own, vocabulary, head["model_id"], head["space"])
        complete = not any(conditional_parts(classifier))  # others give no logits without a model
        probe = classifier(torch.zeros(1, head["dim"])) if complete else torch.zeros(1, len(vocabulary))
        if probe.shape != (1, len(vocabulary)):
            raise UsageError(f"the head {name!r} gives {probe.shape[-1]} scores for {len(vocabulary)} classes")
        sums = None
        if "sums.counts" in own:
            sums = Sums(**{key: own[f"sums.{key}"] for key in ("counts", "totals", "squares")})
            sums.check(len(vocabulary), head["dim"])
        evidence = None
        if "evidence.vectors" in own:
            evidence = Evidence(images=tuple(head["images"]), **{key: own[f"evidence.{key}"] for key in EVIDENCE})
            evidence.check(len(vocabulary), head["dim"])
        found[name] = Head(classifier, head["dim"], sums, head["facts"], evidence)
    delta = Delta.from_file(texts["delta"], tensors) if "delta" in texts else None
    return cls(vocabulary, found, model, delta)
