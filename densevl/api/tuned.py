"""Tuning of a model: from examples and a method to classes with a delta inside.

The model itself stays as it was: what is tuned is a copy of its region embedder.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from mmengine.dist import is_main_process
from torch import Tensor

from densevl.api.sessions import SessionRun
from densevl.api.teaching import TeachableModel
from densevl.api.tuning_kinds import KINDS, WHOLE_IMAGES
from densevl.api.tuning_labels import Descriptions, asked_classes, described, filled, made_labels, taken_examples
from densevl.classifiers.classes import Classes
from densevl.classifiers.conditional import ConditionalClassifier
from densevl.classifiers.contracts import Classifier, LinearClassifier
from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.core.errors import UsageError, suggestion
from densevl.core.files import atomic_write, read_json
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples import Example, ExamplesLike
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.contracts import Look
from densevl.regions.embedders.embedder import RegionEmbedder, space_of
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.teaching.region_vectors import regions_of
from densevl.tasks.teaching.supporting import with_evidence
from densevl.tasks.teaching.teacher import Taught, step_facts, vocabulary_of
from densevl.tasks.teaching.tuned_head import tuned_head
from densevl.training.tuning.contracts import Looks
from densevl.training.tuning.descriptions import description_vectors
from densevl.training.tuning.looks import Shown, clip_of, looks_of, of_numbers
from densevl.training.tuning.methods import method_settings, of_orders
from densevl.training.tuning.model import Task, TunedCLIP, copied
from densevl.training.tuning.run import run_tuning

__all__ = ["Tuned", "check_foldable", "held_out_numbers", "tuned"]

LEAST = 4
"""Examples that each class keeps at least to learn from."""

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
    embedder = _embedder_for(owner, kind)
    encoder = clip_of(embedder)
    if getattr(encoder, "tuned", None) is not None:
        raise UsageError(f"{encoder.model_id!r} was tuned before; load the model without its delta, and tune anew")
    if method in of_orders():
        raise UsageError(f"{method} learns an order from scores, and no classes; call learn_ranking")
    chosen, texts = method_settings(method, encoder.model_id, settings), described(descriptions)
    given = taken_examples(examples, method, chosen, names)
    pipeline = RegionPipeline(embedder, owner.mask_maker if embedder.needs_masks else None)
    shown = list(_shown(given, kind, pipeline))
    if chosen.unlabelled is None:
        vocabulary, labels = vocabulary_of(given)
    else:
        vocabulary, untuned = asked_classes(given, names), _vectors(looks_of(embedder, shown, True))
    chosen = filled(chosen, vocabulary, texts)
    known = None if texts is None else description_vectors(encoder, vocabulary.names, texts)
    temperature = float(getattr(embedder.encoder, "temperature", encoder.temperature))
    model = TunedCLIP(encoder, chosen, owner.query_templates, temperature, seed)
    if fold:
        check_foldable(model, method)
    if sessions is not None:
        sessions.check(chosen, vocabulary.names)
    if chosen.unlabelled is not None:
        labels = tuple(made_labels(model, untuned, shown, vocabulary))
        given = tuple(replace(one, name=vocabulary.names[label]) for one, label in zip(given, labels, strict=True))
    out = held_out_numbers(given, labels, held_out, seed)
    learnt = [number for number in range(len(given)) if number not in out]
    seen, classes_of = of_numbers(shown, learnt), [labels[number] for number in learnt]
    about = {"seed": seed, "encoder": encoder.model_id, "kind": kind, **step_facts(given), "held_out": len(out)}
    began = time.monotonic()
    if sessions is None:
        looks = looks_of(embedder, seen, "image" in model.tuned_towers, chosen.crop, chosen.flip, chosen.views)
        model.turn_to(_task(owner, kind, model, looks, seen, classes_of, vocabulary, known))
        steps = chosen.length(len(learnt), max(Counter(classes_of).values()))
        if work_dir is not None:
            check_same_run(Path(work_dir), {"settings": chosen.facts, "steps": steps, **about}, resume)
        run_tuning(model, steps, work_dir=work_dir, resume=resume, amp=amp)
    else:
        sessions.learn(
            model,
            embedder,
            _embedder_for(owner, kind),
            seen,
            [vocabulary.names[label] for label in classes_of],
            lambda asked: list(_shown(asked, kind, pipeline)),
            about,
            None if work_dir is None else Path(work_dir) / "sessions",
            resume,
            amp,
        )
    seconds = time.monotonic() - began
    delta = model.delta()
    encoder.model_id = delta.tuned_id
    space = None if kind == "pixels" else space_of(embedder)
    whole = looks_of(embedder, shown, True)
    vectors = _vectors(whole)
    make = _classifiers(model, vocabulary, str(embedder.encoder.model_id), space)
    head, held = tuned_head(make, vectors, torch.tensor(labels), torch.tensor(out).long(), model.temperature)
    held_facts = {"held_out_images": len({given[number].image for number in out})}
    facts = {"seconds": round(seconds, 1), **model.facts(), **held_facts, "settings": chosen.facts}
    if sessions is not None:
        facts["sessions"] = [list(group) for group in sessions.groups]
    step = {
        **step_facts(given, seed=seed, views=0),
        **({} if held is None else {"held_out": head.facts["held_out"]}),
    }
    head = replace(head, facts={"method": method, **facts, **head.facts, "taught": [step]})
    name = "pixels" if kind == "pixels" else "regions"
    labelled = LabelledVectors(vectors, torch.tensor(labels), head.classifier.model_id, space)
    head = with_evidence(head, held, labelled, given)
    classes = Classes(vocabulary, {name: head}, _model_facts(owner, kind, loaded), delta)
    if fold:
        tunables: list[Any] = list(model.tunables)
        for tunable in tunables:
            tunable.fold(encoder)
    return Tuned(Taught(classes, given, labels, {name: held}), encoder)


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


def _task(
    owner: TeachableModel,
    kind: str,
    model: TunedCLIP,
    looks: Looks,
    shown: Sequence[Shown],
    labels: Sequence[int],
    vocabulary: Vocabulary,
    descriptions: Float[Tensor, "k m d"] | None,
) -> Task:
    """What the encoder is tuned for; the encoder as it was is at hand where a loss compares with it."""
    before: Looks | None = None
    texts = None
    if "before" in model.needs:
        as_it_was = _embedder_for(owner, kind)
        before = looks if looks.frozen else looks_of(as_it_was, shown, True, model.settings.crop, model.settings.flip)
        with torch.no_grad():
            texts = clip_of(as_it_was).embed_texts(vocabulary.names, model.templates)
    return Task(looks, labels if "labels" in model.needs else None, vocabulary.names, before, texts, descriptions)


def _model_facts(owner: TeachableModel, kind: str, loaded: Mapping[str, Any] | None) -> dict[str, Any]:
    """What loads the model that was tuned."""
    facts = {"name": owner.name, **(loaded or {})}
    if kind == "images":
        facts["changes"] = {**facts.get("changes", {}), "embedder": dict(WHOLE_IMAGES)}
    return facts


def held_out_numbers(
    examples: Sequence[Example], labels: Sequence[int], part: int | float, seed: int
) -> tuple[int, ...]:
    """Numbers of examples to hold out, all of an image together, as far as each class keeps enough to learn from.

    Args:
        examples: of any images.
        labels: class of each.
        part: of the images, at most.
        seed: chooses the images.
    """
    of_image: dict[Path, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        of_image[example.image].append(number)
    images, left, found = list(of_image), Counter(labels), []
    most = int(part * len(images))
    for place in np.random.default_rng(seed).permutation(len(images)).tolist():
        numbers = of_image[images[place]]
        lost = Counter(labels[number] for number in numbers)
        if most > 0 and all(left[label] - count >= LEAST for label, count in lost.items()):
            left, most = left - lost, most - 1
            found += numbers
    return tuple(sorted(found))


def check_same_run(folder: Path, about: Mapping[str, Any], resume: bool) -> None:
    """Note what a run is about in its work folder; refuse to go on from a run of something else.

    Args:
        folder: the work folder.
        about: JSON values.
        resume: whether an earlier run is gone on from.

    Raises:
        UsageError: where it was of something else.
        OutputError: where the folder cannot be written.
    """
    note = folder / "tuning.json"
    if resume and note.is_file():
        earlier, now = read_json(note), json.loads(json.dumps(about))
        others = sorted(name for name in {*earlier, *now} if earlier.get(name) != now.get(name))
        if others:
            raise UsageError(
                f"the run in {folder} had other {', '.join(others)}; give the same again, or leave --resume out"
            )
    elif is_main_process():
        with atomic_write(note) as temporary:
            temporary.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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


def _shown(examples: Sequence[Example], kind: str, pipeline: RegionPipeline) -> Iterator[Shown]:
    """The regions of the examples, image by image.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where a region does not fit its image, or a whole image is of two classes.
    """
    of_image: dict[Path, list[tuple[int, Example]]] = defaultdict(list)
    for number, example in enumerate(examples):
        of_image[example.image].append((number, example))
    for path, members in of_image.items():
        image = read_image(path)
        if kind == "images":
            other = next((one for _, one in members if one.name != members[0][1].name), None)
            if other is not None:
                raise UsageError(
                    f"{other.place}: the image {path} is {members[0][1].name!r} and {other.name!r}; tune --for regions"
                )
            whole = Regions.whole((image.shape[0], image.shape[1]))
            yield Shown(path, whole[[0] * len(members)], [number for number, _ in members])
            continue
        for numbers, regions in regions_of(image, members, pipeline):
            prepared = pipeline.prepare(image, regions)
            if prepared.masks is not None and not prepared.masks.flatten(1).any(1).all():
                raise UsageError(
                    f"{members[0][1].place}: the mask maker finds nothing in a box of this image; give masks"
                )
            yield Shown(path, prepared, numbers)


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
