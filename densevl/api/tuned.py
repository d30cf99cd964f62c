"""Tuning of a model: from examples and a method to classes with a delta inside.

The model itself stays as it was: what is tuned is a copy of its region embedder.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.api.sessions import SessionRun
from densevl.api.teaching import TeachableModel
from densevl.api.tuning_examples import held_out_numbers, shown_regions
from densevl.api.tuning_kinds import KINDS, WHOLE_IMAGES
from densevl.api.tuning_labels import (
    Descriptions,
    asked_classes,
    described,
    filled,
    made_labels,
    reads_descriptions,
    taken_examples,
)
from densevl.classifiers.classes import Classes
from densevl.classifiers.conditional import ConditionalClassifier
from densevl.classifiers.contracts import Classifier, LinearClassifier
from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.core.errors import UsageError, suggestion
from densevl.core.int8 import check_trainable
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples import Example, ExamplesLike
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.contracts import Look
from densevl.regions.embedders.embedder import RegionEmbedder, space_of
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.teaching.fitting import HeldOut
from densevl.tasks.teaching.supporting import with_evidence
from densevl.tasks.teaching.teacher import Taught, step_facts, vocabulary_of
from densevl.tasks.teaching.tuned_head import tuned_head
from densevl.training.tuning.contracts import Looks
from densevl.training.tuning.descriptions import description_vectors
from densevl.training.tuning.looks import Shown, clip_of, looks_of, of_numbers
from densevl.training.tuning.methods import method_settings, of_orders
from densevl.training.tuning.model import Task, TunedCLIP, copied
from densevl.training.tuning.run import check_same_run, run_tuning

__all__ = ["Tuned", "check_foldable", "tuned"]

TOGETHER = 32
"""Examples that are looked at together after tuning."""


@dataclass(frozen=True)
class Tuned:
    """What tuning gave.

    Attributes:
        taught: the classes, with the delta inside, and what they say of held-out examples.
        encoder: the encoder as it was tuned, with plain weights where that was asked for.
    """

    taught: Taught
    encoder: CLIPEncoder

    @property
    def classes(self) -> Classes:
        """The classes."""
        return self.taught.classes


def tuned(
    owner: TeachableModel,
    examples: ExamplesLike,
    *,
    method: str,
    kind: str,
    settings: Mapping[str, Any] | None,
    seed: int,
    held_out: int | float,
    work_dir: str | Path | None,
    resume: bool,
    amp: bool,
    fold: bool,
    loaded: Mapping[str, Any] | None,
    names: Sequence[str] | None = None,
    descriptions: Descriptions | None = None,
    sessions: SessionRun | None = None,
) -> Tuned:
    """Tune a copy of what makes the vectors of a model; see :meth:`densevl.Model.tuned`.

    Args:
        owner: the model, which stays as it was.
        examples: as for teaching.
        method: name of the method.
        kind: one of :data:`densevl.api.tuning.KINDS`.
        settings: changes of the settings of the method.
        seed: of all that is drawn.
        held_out: part of the images that is kept out.
        work_dir: where checkpoints and logs go; None for nowhere.
        resume: go on from the last checkpoint.
        amp: compute in bfloat16 where that is safe.
        fold: write what was learnt into the weights of the tuned encoder.
        loaded: further arguments that loaded the model.
        names: of the classes, for methods that read no labels; None for those of the examples.
        descriptions: texts by the names of classes, for methods that read some.
        sessions: in which the classes come; None for all at once.
    """
    if kind not in KINDS:
        raise UsageError(f"classes are tuned for {', '.join(KINDS)}; {suggestion(kind, KINDS)}")
    if not 0 <= held_out < 1:
        raise UsageError(f"held_out is the part of the images that is kept out, in [0, 1); got {held_out}")
    if method in of_orders():
        raise UsageError(f"{method} learns an order from scores, and no classes; call learn_ranking")
    work = _prepared(owner, examples, method, kind, settings, seed, names, descriptions)
    if fold:
        check_foldable(work.model, method)
    if sessions is not None:
        sessions.check(work.model.settings, work.vocabulary.names)
    work = work.labelled()
    out = held_out_numbers(work.given, work.labels, held_out, seed)
    began = time.monotonic()
    _learn(work, out, sessions, None if work_dir is None else Path(work_dir), resume, amp)
    seconds = time.monotonic() - began
    classes, held = _classes(work, out, method, round(seconds, 1), sessions, loaded)
    encoder = work.model.encoder
    if fold:
        tunables: list[Any] = list(work.model.tunables)
        for tunable in tunables:
            tunable.fold(encoder)
    return Tuned(Taught(classes, work.given, work.labels, {next(iter(classes.heads)): held}), encoder)


@dataclass(frozen=True)
class _Work:
    """What is tuned, and what by.

    Attributes:
        owner: the model, which stays as it was.
        kind: one of :data:`densevl.api.tuning_kinds.KINDS`.
        embedder: of vectors, a copy; its encoder is tuned.
        pipeline: of the embedder.
        model: the encoder with what is tuned in it.
        given: the examples.
        shown: their regions, image by image.
        vocabulary: the classes.
        labels: class of each example; none where they are still to be made.
        untuned: vectors of the examples before anything is tuned, where labels are made of them.
        texts: that describe the classes, by name; None where there are none.
        descriptions: their vectors.
    """

    owner: TeachableModel
    kind: str
    embedder: RegionEmbedder
    pipeline: RegionPipeline
    model: TunedCLIP
    given: tuple[Example, ...]
    shown: Sequence[Shown]
    vocabulary: Vocabulary
    labels: tuple[int, ...]
    untuned: Float[Tensor, "n d"] | None
    texts: Mapping[str, Sequence[str]] | None
    descriptions: Float[Tensor, "k m d"] | None

    def labelled(self) -> "_Work":
        """The same with labels, made where the method reads none."""
        if self.untuned is None:
            return self
        labels = tuple(made_labels(self.model, self.untuned, self.shown, self.vocabulary))
        named = zip(self.given, labels, strict=True)
        given = tuple(replace(one, name=self.vocabulary.names[label]) for one, label in named)
        return replace(self, given=given, labels=labels)

    @property
    def about(self) -> dict[str, Any]:
        """What decides the result beside the settings: JSON values only."""
        return {
            "seed": self.model.seed,
            "encoder": self.model.base_id,
            "kind": self.kind,
            "vectors": space_of(self.embedder),
            "templates": list(self.model.templates),
            "temperature": self.model.temperature,
            "descriptions": None if self.texts is None else {name: list(own) for name, own in self.texts.items()},
            **step_facts(self.given),
        }


def _prepared(
    owner: TeachableModel,
    examples: ExamplesLike,
    method: str,
    kind: str,
    settings: Mapping[str, Any] | None,
    seed: int,
    names: Sequence[str] | None,
    descriptions: Descriptions | None,
) -> _Work:
    """A copy of what makes the vectors, with what is tuned in it, and the examples as it sees them."""
    embedder = _embedder_for(owner, kind)
    encoder = clip_of(embedder)
    check_trainable(encoder, "tuned")
    if getattr(encoder, "tuned", None) is not None:
        raise UsageError(f"{encoder.model_id!r} was tuned before; load the model without its delta, and tune anew")
    chosen, texts = method_settings(method, encoder.model_id, settings), described(descriptions)
    given = taken_examples(examples, method, chosen, names)
    pipeline = RegionPipeline(embedder, owner.mask_maker if embedder.needs_masks else None)
    shown, untuned = list(shown_regions(given, kind, pipeline)), None
    labels: tuple[int, ...] = ()
    if chosen.unlabelled is None:
        vocabulary, labels = vocabulary_of(given)
    else:
        vocabulary, untuned = asked_classes(given, names), _vectors(looks_of(embedder, shown, True))
    known = None if texts is None else description_vectors(encoder, vocabulary.names, texts)
    temperature = float(getattr(embedder.encoder, "temperature", encoder.temperature))
    model = TunedCLIP(encoder, filled(chosen, vocabulary, texts), owner.query_templates, temperature, seed)
    if texts is not None and not reads_descriptions(chosen, model.needs):
        raise UsageError(f"{method} reads no descriptions; leave them out, or take biomedcoop or nola")
    return _Work(owner, kind, embedder, pipeline, model, given, shown, vocabulary, labels, untuned, texts, known)


def _learn(
    work: _Work, out: Sequence[int], sessions: SessionRun | None, folder: Path | None, resume: bool, amp: bool
) -> None:
    """Tune by the examples that are not held out, at once or session by session."""
    model, settings = work.model, work.model.settings
    learnt = [number for number in range(len(work.given)) if number not in out]
    shown, labels = of_numbers(work.shown, learnt), [work.labels[number] for number in learnt]
    about = {**work.about, "held_out": len(out)}
    if sessions is None:
        tuned = "image" in model.tuned_towers
        looks = looks_of(work.embedder, shown, tuned, settings.crop, settings.flip, settings.views)
        model.turn_to(_task(work, looks, shown, labels))
        steps = settings.length(len(learnt), max(Counter(labels).values()))
        if folder is not None:
            check_same_run(folder, {"settings": settings.facts, "steps": steps, **about}, resume)
        run_tuning(model, steps, work_dir=folder, resume=resume, amp=amp)
        return
    sessions.learn(
        model,
        work.embedder,
        _embedder_for(work.owner, work.kind),
        shown,
        [work.vocabulary.names[label] for label in labels],
        lambda asked: list(shown_regions(asked, work.kind, work.pipeline)),
        about,
        None if folder is None else folder / "sessions",
        resume,
        amp,
    )


def _classes(
    work: _Work,
    out: Sequence[int],
    method: str,
    seconds: float,
    sessions: SessionRun | None,
    loaded: Mapping[str, Any] | None,
) -> tuple[Classes, HeldOut | None]:
    """The classes, with the delta inside, and what they say of held-out examples."""
    model, vocabulary, labels = work.model, work.vocabulary, torch.tensor(work.labels)
    delta = model.delta()
    model.encoder.model_id = delta.tuned_id
    space = None if work.kind == "pixels" else space_of(work.embedder)
    vectors = _vectors(looks_of(work.embedder, work.shown, True))
    make = _classifiers(model, vocabulary, str(work.embedder.encoder.model_id), space)
    head, held = tuned_head(make, vectors, labels, torch.tensor(out).long(), model.temperature)
    facts = {"method": method, "seconds": seconds, **model.facts(), "settings": model.settings.facts}
    facts["labels"] = "given" if work.untuned is None else "made"
    facts["held_out_images"] = len({work.given[number].image for number in out})
    if sessions is not None:
        facts["sessions"] = [list(group) for group in sessions.groups]
    step = step_facts(work.given, seed=model.seed, views=0)
    if held is not None:
        step["held_out"] = head.facts["held_out"]
    head = replace(head, facts={**facts, **head.facts, "taught": [step]})
    labelled = LabelledVectors(vectors, labels, head.classifier.model_id, space)
    name = "pixels" if work.kind == "pixels" else "regions"
    heads = {name: with_evidence(head, held, labelled, work.given)}
    return Classes(vocabulary, heads, _model_facts(work.owner, work.kind, loaded), delta), held


def _embedder_for(owner: TeachableModel, kind: str) -> RegionEmbedder:
    """A copy of what makes the vectors that classes are told apart by, whose encoder may be changed."""
    if kind == "regions":
        made: Any = owner.embedder
    elif kind == "images":
        made = MarkedImages(clip_of(owner.embedder), WHOLE_IMAGES["visual_prompts"])
    else:
        dense = owner.dense
        made = MaskPooling(
            dense.encoder,
            dense.readout,
            list(dense.refiners),
            dense.short_side,
            dense.long_side,
            positions=dense.dense.positions,
            border=dense.dense.border,
        )
    return copied(made).eval()


def _task(work: _Work, looks: Looks, shown: Sequence[Shown], labels: Sequence[int]) -> Task:
    """What the encoder is tuned for; the encoder as it was is at hand where a loss compares with it."""
    model, names = work.model, work.vocabulary.names
    before: Looks | None = None
    texts = None
    if "before" in model.needs:
        as_it_was = _embedder_for(work.owner, work.kind)
        before = looks if looks.frozen else looks_of(as_it_was, shown, True, model.settings.crop, model.settings.flip)
        with torch.no_grad():
            texts = clip_of(as_it_was).embed_texts(names, model.templates)
    return Task(looks, labels if "labels" in model.needs else None, names, before, texts, work.descriptions)


def _model_facts(owner: TeachableModel, kind: str, loaded: Mapping[str, Any] | None) -> dict[str, Any]:
    """What loads the model that was tuned."""
    facts = {"name": owner.name, **(loaded or {})}
    if kind == "images":
        facts["changes"] = {**facts.get("changes", {}), "embedder": dict(WHOLE_IMAGES)}
    return facts


def check_foldable(model: TunedCLIP, method: str) -> None:
    """Refuse to fold what no weights of the encoder can say.

    Raises:
        UsageError: where a part of what is tuned is of that kind.
    """
    if not all(getattr(one, "foldable", False) for one in model.tunables):
        raise UsageError(
            f"{method} learns tokens or texts that are no weights of the encoder, so nothing can be folded; leave "
            "--fold out: every command takes the file of the classes"
        )


@torch.no_grad()
def _vectors(looks: Looks) -> Float[Tensor, "n d"]:
    """All examples, unchanged, by the encoder as it is now."""
    places = range(len(looks))
    parts = [
        looks.look(some, [None] * len(some)).vectors for some in (places[i : i + TOGETHER] for i in places[::TOGETHER])
    ]
    return torch.cat(parts).float().cpu()


def _classifiers(model: TunedCLIP, vocabulary: Vocabulary, model_id: str, space: str | None) -> Any:
    """What makes the classifier of a factor of cosines."""
    if model.class_texts is not None and model.class_texts.conditional:
        return lambda temperature: ConditionalClassifier(temperature, vocabulary, model_id, space, _making(model))
    with torch.no_grad():
        texts = model.texts(vocabulary.names).detach().float().cpu()

    def make(temperature: float) -> Classifier:
        return LinearClassifier(temperature * texts, torch.zeros(len(texts)), vocabulary, model_id, space)

    return make


def _making(model: TunedCLIP) -> Any:
    """From vectors to the class texts of each."""
    names = () if model.task is None else model.task.names

    @torch.no_grad()
    def texts(vectors: Tensor) -> Tensor:
        return model.texts(names, Look(vectors.to(model.encoder.device))).detach().to(vectors)

    return texts
