"""Learning in sessions on scenes: what tuning on and on forgets, and which methods forget less.

Five sessions by colour: pairs of two colours that the mini CLIP knows, and then, one after the other, the four new
colours (:data:`densevl.datasets.scenes.scene.NEW_COLOURS`), whose look and words it was never trained with. What it
knew is to stay: pairs of two other colours are never taught and asked about, and crops of known objects and their texts
are to find each other. Shots are drawn by seed from training scenes, and all ways see the same; held-out scenes decide
nothing.

**Equal new accuracy.** A smaller learning rate forgets less and learns less. So plain tuning is measured at several
rates, and a way is compared with plain tuning *at its own accuracy on new classes*: what plain tuning loses is drawn as
a line from the text alone through its rates, and read off there, seed by seed. Settings were chosen on scenes and seeds
of at least 100.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.tables.kept_runs import KeptRuns
from densevl.benchmarks.tables.teach import draw_shots
from densevl.core.drawing.overlay import write_image
from densevl.core.regions import Regions
from densevl.datasets.scenes import region_text
from densevl.datasets.scenes.scene import COLOURS, NEW_COLOURS
from densevl.datasets.scenes.shapes import SHAPES
from densevl.datasets.scenes.shifts import shifted_scene
from densevl.encoders.clip import CLIPEncoder
from densevl.metrics.sessions import Course, SessionScores
from densevl.metrics.table import Spread, Table
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.training.tuning.continual.course import lessons_of, run_course
from densevl.training.tuning.continual.exam import Exam
from densevl.training.tuning.continual.learners import IncrementalGDA, Learner, TunedLearner
from densevl.training.tuning.looks import Shown, of_numbers
from densevl.training.tuning.methods import method_settings
from densevl.weights import cache_dir

__all__ = ["PLAIN", "WAYS", "Things", "continual_table", "course_of", "drop_at", "embedder_of_crops", "things"]

SEEDS = (0, 1, 2)
TRAINING, HELD_OUT_SCENES = 320, 321
"""Collections of scenes: what shots are drawn from, and what is measured."""

SHOTS, ENOUGH = 8, 180
"""Examples of each class, and training scenes of known and of new colours that hold as many."""

SIZE, SIDE = 128, 32
"""Sides in pixels: of the scenes, and of the crops as the encoder sees them; small ones take a quarter of the time."""

SHIFTS = ("clean", "new colours")
KNOWN, NEVER = ("red", "blue"), ("green", "yellow")
SESSIONS = tuple(
    tuple(f"{colour} {shape}" for colour in group for shape in SHAPES)
    for group in (KNOWN, *((colour,) for colour in NEW_COLOURS))
)

PLAIN: Mapping[str, Mapping[str, Any]] = {
    "plain tuning, rate 0.0001": {"optimizer.lr": 1e-4},
    "plain tuning, rate 0.0002": {"optimizer.lr": 2e-4},
    "plain tuning, rate 0.0003": {"optimizer.lr": 3e-4},
}
"""Plain tuning of all weights, from the rate that forgets least to the one that learns most."""

WAYS: Mapping[str, str] = {"VR-LwF": "vr-lwf", "Mod-X": "mod-x", "CPE-CLIP": "cpe-clip"}
"""Methods that are to forget less, with their settings for the mini models."""


@dataclass(frozen=True)
class Things:
    """Objects of scenes.

    Attributes:
        shown: by scene.
        names: colour and shape of each.
        texts: what is said of each; empty for those in new colours, whose words the model does not know.
    """

    shown: Sequence[Shown]
    names: Sequence[str]
    texts: Sequence[str]


def things(collection: int, scenes: int, folder: Path) -> Things:
    """The objects of scenes in known and in new colours, without those of colours that are not asked about.

    Args:
        collection: number of the scenes.
        scenes: of each kind.
        folder: where the images are written.
    """
    asked, shown, names, texts = {*KNOWN, *NEVER, *NEW_COLOURS}, [], list[str](), list[str]()
    for shift in SHIFTS:
        for index in tqdm(range(scenes), desc=f"{shift}, scenes {collection}", delay=2, leave=False, disable=None):
            scene = shifted_scene(shift, collection, index, SIZE)
            objects = [item for item in scene.objects if item.colour in asked]
            if not objects:
                continue
            path = folder / f"{shift.replace(' ', '-')}-{collection}-{index}.png"
            if not path.is_file():
                write_image(path, scene.image)
            boxes = torch.tensor([item.box for item in objects]).float()
            numbers = range(len(names), len(names) + len(objects))
            shown.append(Shown(path, Regions(boxes, (SIZE, SIZE)), list(numbers)))
            names += [item.name for item in objects]
            texts += [region_text(item) if item.colour in COLOURS else "" for item in objects]
    return Things(shown, names, texts)


def continual_table(
    scenes: int, out: Path | None = None, seeds: Sequence[int] = SEEDS, collections: tuple[int, int] | None = None
) -> Table:
    """Measure the table.

    Args:
        scenes: five times the number of held-out scenes of each kind.
        out: folder where each figure is kept, and where a run that was stopped goes on; None for nowhere.
        seeds: of shots, prompts and the order of examples.
        collections: numbers of the scenes that train and that are held out; None for those of the table.
    """
    training, held_out = collections or (TRAINING, HELD_OUT_SCENES)
    folder = cache_dir() / "tables" / "continual"
    taught, asked = things(training, ENOUGH, folder), things(held_out, max(1, scenes // 5), folder)
    exam = Exam(asked.shown, asked.names, asked.texts, SESSIONS)
    embedder = embedder_of_crops()
    found: dict[str, list[Course]] = {}
    ways = ("text alone", "incremental GDA", *PLAIN, *WAYS)
    for name in tqdm(ways, desc="ways to learn", disable=None):
        found[name] = [course_of(name, seed, embedder, taught, exam, out) for seed in seeds]
    line = [found[name] for name in ("text alone", *PLAIN)]
    rows: list[tuple[str, Sequence[float | Spread]]] = [(name, _row(courses, line)) for name, courses in found.items()]
    head = (
        "five sessions by colour",
        "new",
        "lost until the end",
        "plain at equal new",
        "old, at the end",
        "never-seen",
        "image to text",
        "text to image",
    )
    never = sum(name.split()[0] in NEVER for name in asked.names)
    note = (
        f"{SHOTS} shots of {len(SESSIONS[0])} classes of {' and '.join(KNOWN)}, then of {len(SESSIONS[1])} of each new "
        f"colour; {len(asked.names)} held-out objects, {never} of them never taught; crops of {SIDE} px; "
        f"{embedder.encoder.model_id}; mean ± standard deviation of seeds {', '.join(map(str, seeds))}. New: accuracy "
        "on the classes of a session right after it, among all so far, mean over the sessions; lost: how much of it is "
        "gone after the last session, over all sessions but this one; plain at equal new: what plain tuning of all "
        "weights loses at this accuracy on new classes, read off the line through its rates, or at its own highest "
        "where it learns less. Recall of the first answer, of known objects and their texts."
    )
    return Table(head, rows, note)


def drop_at(new: float, line: Sequence[tuple[float, float]]) -> float:
    """What plain tuning loses at an accuracy on new classes.

    Where it learns less at every rate, that is what it loses where it learns most: more cannot be had for less. Where
    it learns more at every rate, and without any tuning, nothing can be compared, and it is nan.

    Args:
        new: the accuracy.
        line: accuracy on new classes and loss at each of its rates, from the least.
    """
    ordered = sorted(line)
    xs, ys = zip(*ordered, strict=True)
    return float(np.interp(new, xs, ys)) if xs[0] <= new else nan


def _row(courses: Sequence[Course], line: Sequence[Sequence[Course]]) -> list[float | Spread]:
    figures = []
    for place, course in enumerate(courses):
        plain = [(one[place].new, one[place].drop) for one in line]
        last = course.scores[-1]
        own = (course.new, course.drop, drop_at(course.new, plain), last.old, last.never_seen)
        figures.append([100 * value for value in (*own, last.image_to_text, last.text_to_image)])
    return [Spread(values) for values in zip(*figures, strict=True)]


class _Untaught(IncrementalGDA):
    """The encoder as it came, asked by its texts."""

    def logits(self, vectors: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        """Cosines with the texts of the names."""
        return vectors @ self.encoder.embed_texts(list(names), self.templates).float().cpu().mT


def _learner(name: str, seed: int, embedder: MarkedImages) -> Learner:
    if name == "text alone":
        return _Untaught(embedder)
    if name == "incremental GDA":
        return IncrementalGDA(embedder)
    model_id = embedder.encoder.model_id
    if name in WAYS:
        return TunedLearner.of(embedder, method_settings(WAYS[name], model_id), seed=seed)
    plain = {"losses": [{"type": "cross-entropy"}], **PLAIN[name]}
    return TunedLearner.of(embedder, method_settings(WAYS["Mod-X"], model_id, plain), seed=seed)


def course_of(name: str, seed: int, embedder: MarkedImages, taught: Things, exam: Exam, out: Path | None) -> Course:
    """The figures of one way for one draw of the shots, measured or as they were kept.

    Args:
        name: of the way: of :data:`PLAIN` or :data:`WAYS`, ``text alone`` or ``incremental GDA``.
        seed: of shots, prompts and the order of examples.
        embedder: of the encoder that learns; it stays as it is.
        taught: what shots are drawn from.
        exam: what is measured.
        out: where figures are kept; None for nowhere.
    """
    learner = _learner(name, seed, embedder)
    said = {
        "way": name,
        "seed": seed,
        "settings": dict(learner.settings),
        "encoder": embedder.encoder.model_id,
        "held_out": len(exam.names),
        "scenes": [str(exam.shown[0].image.name), str(taught.shown[0].image.name), ENOUGH, SHOTS, SIDE],
    }
    kept = KeptRuns(out)(
        f"{name.replace(',', '').lower()}-{seed}-of-{len(exam.names)}",
        said,
        lambda: _course(learner, seed, taught, exam).as_dict(),
    )
    return Course([SessionScores.from_dict(one) for one in kept["sessions"]])


def _course(learner: Learner, seed: int, taught: Things, exam: Exam) -> Course:
    """The figures of one way for one draw of the shots."""
    every = [name for group in SESSIONS for name in group]
    numbers = torch.tensor([every.index(one) if one in every else len(every) for one in taught.names])
    chosen = [place for place in draw_shots(numbers, SHOTS, seed).tolist() if numbers[place] < len(every)]
    lessons = lessons_of(
        [taught.names[place] for place in chosen],
        SESSIONS,
        lambda places: of_numbers(taught.shown, [chosen[place] for place in places]),
    )
    course = run_course(learner, lessons, exam)
    assert course is not None
    return course


def embedder_of_crops() -> MarkedImages:
    """The mini CLIP, which looks at crops of regions of a quarter of the side that it was made for."""
    encoder = load("mini-maskclip", device="cpu", lazy=True).segmentor.encoder
    assert isinstance(encoder, CLIPEncoder)
    encoder.image_size = (SIDE, SIDE)
    return MarkedImages(encoder, ["square"], size=SIZE)
