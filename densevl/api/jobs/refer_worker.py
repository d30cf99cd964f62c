"""The work of a referring job on one image after the other, in whatever process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from densevl.api.jobs.asked import Asked
from densevl.api.jobs.familiarity import familiarity_record
from densevl.api.jobs.manifest import check
from densevl.api.loading import Loading
from densevl.api.model import Model
from densevl.classifiers.classes import Classes
from densevl.classifiers.familiarity import Familiarity
from densevl.core.drawing.overlay import write_image
from densevl.core.drawing.sheets import contact_sheet
from densevl.core.engine import Worker
from densevl.core.files import atomic_write
from densevl.core.masks import encode_masks
from densevl.core.regions import Regions
from densevl.regions.proposals import ProposalFile, Proposals
from densevl.regions.visual_prompts import draw
from densevl.tasks.grounding.grounding import Grounding
from densevl.tasks.grounding.picture import draw_ranking

__all__ = ["RECORD", "Answer", "Found", "ReferRecipe", "ReferWorker", "Referred", "picture_names"]

RECORD = ".refer.json"
"""The ending of the record of an image."""


class Answer(NamedTuple):
    """The best region of an expression.

    Attributes:
        expression: what was asked.
        box: xyxy pixels, as the record has it.
        probability: of the region.
        doubtful: whether nothing in the image seems to be meant.
    """

    expression: str
    box: tuple[float, ...]
    probability: float
    doubtful: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "list[Answer]":
        """The answers of the record of an image."""
        best = [(one, one["regions"][0]) for one in record["expressions"]]
        return [cls(one["expression"], tuple(r["box"]), r["probability"], one["doubtful"]) for one, r in best]


class Referred(NamedTuple):
    """What is said of an image.

    Attributes:
        answers: the best region of each expression.
        familiarity: what is known of the image's kind; None where nothing is.
    """

    answers: list[Answer]
    familiarity: dict[str, Any] | None


class Found(NamedTuple):
    """What was found in an image.

    Attributes:
        image: RGB.
        groundings: one an expression.
        record: what is written of it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    groundings: list[Grounding]
    record: dict[str, Any]


Seen = tuple[UInt8[np.ndarray, "_ _ 3"], tuple[int, ...]]
"""An image and its state, which was asked before the image was read."""


class ReferWorker(Worker[Asked, Seen, Found, Referred]):
    """Reads images, grounds their expressions, and writes pictures and records, each file whole or not at all.

    Args:
        model: a model with a grounder.
        out: folder of the results.
        top: how many regions the pictures show.
        show_marked: also write the marked images.
        classes: taught classes; a noun that is the name of one means what was taught.
        proposals: the regions to choose from where an image has none of its own; None lets the model propose.
        settings: fingerprint of a job of many images, which the records then name; empty for one image.
    """

    batch = 1

    def __init__(
        self,
        model: Model,
        out: Path,
        top: int = 5,
        show_marked: bool = False,
        classes: Classes | None = None,
        proposals: Proposals | ProposalFile | None = None,
        settings: str = "",
    ) -> None:
        self.model, self.out, self.top, self.show_marked, self.settings = model, out, top, show_marked, settings
        self.classes, self.taught = classes, None if classes is None else model.taught_nouns(classes)
        self.proposals = proposals

    def read(self, item: Asked) -> Seen:
        """The image and, in a job of many images, its state."""
        state = item.state() if self.settings else ()
        return item.read(), state

    def make(self, items: Sequence[Asked], read: Sequence[Seen]) -> list[Found]:
        """Ground the expressions of images."""
        return [self._found(item, *seen) for item, seen in zip(items, read, strict=True)]

    def write(self, item: Asked, made: Found) -> Referred:
        """Write the results of an image, the record last.

        Raises:
            OutputError: where a file cannot be written, or the folder was begun anew.
        """
        if self.settings:
            check(self.out, self.settings)
        for picture, grounding in zip(self.pictures(item), made.groundings, strict=True):
            write_image(picture, draw_ranking(made.image, grounding, self.top))
        for sheet, grounding in zip(self.sheets(item), made.groundings, strict=False):
            write_image(sheet, self._marked(made.image, grounding))
        with atomic_write(self.out / f"{item.relative}{RECORD}") as temporary:
            temporary.write_text(json.dumps(made.record, ensure_ascii=False), encoding="utf-8")
        return Referred(Answer.of(made.record), made.record.get("familiarity"))

    def pictures(self, item: Asked) -> list[Path]:
        """The files of the images with the ranking."""
        return [self.out / name for name in picture_names(item.relative, "refer", len(item.expressions))]

    def sheets(self, item: Asked) -> list[Path]:
        """The files of the contact sheets; none without ``show_marked``."""
        names = picture_names(item.relative, "marked", len(item.expressions)) if self.show_marked else []
        return [self.out / name for name in names]

    def _found(self, item: Asked, image: UInt8[np.ndarray, "H W 3"], state: tuple[int, ...]) -> Found:
        found = self.model.grounder.refer(
            image, list(item.expressions), self._proposals(item, image), Path(item.place).name, self.taught
        )
        record: dict[str, Any] = {
            "image": {"file_name": item.name, "height": image.shape[0], "width": image.shape[1]},
            "model": self.model.name,
            "protocol": self.model.grounder.protocol,
            **({} if self.classes is None else {"classes": self.classes.digest}),
            "expressions": [_record(grounding) for grounding in found],
        }
        if self.settings:
            record["settings"], record["source"] = self.settings, [item.place, *state]
            record["boxes"] = None if item.boxes is None else list(map(list, item.boxes))
        if self.classes is not None and self.classes.heads["regions"].evidence is not None:
            self._support(record, image, found, self.classes)
        if self.model.known is not None:
            record["familiarity"] = familiarity_record(self.model.known, self.model.familiarity(image))
        return Found(image, found, record)

    def _proposals(self, item: Asked, image: UInt8[np.ndarray, "H W 3"]) -> Proposals | None:
        size = (image.shape[0], image.shape[1])
        if item.boxes is not None:
            return Regions.from_boxes(item.boxes, size)
        given = self.proposals
        return given.regions(size, Path(item.place).name) if isinstance(given, ProposalFile) else given

    def _support(
        self,
        record: dict[str, Any],
        image: UInt8[np.ndarray, "H W 3"],
        found: Sequence[Grounding],
        classes: Classes,
    ) -> None:
        """Say of each region which taught class it is, how sure that is, and what supports it."""
        said: dict[int, Any] = {}
        for written, grounding in zip(record["expressions"], found, strict=True):
            if id(grounding.regions) not in said:
                said[id(grounding.regions)] = self.model.trust(image, grounding.regions, classes)
            trust = said[id(grounding.regions)]
            record["calibration"] = trust["calibration"]
            for region in written["regions"]:
                region["taught"] = trust["regions"][region["region"]]

    def _marked(self, image: UInt8[np.ndarray, "H W 3"], grounding: Grounding) -> UInt8[np.ndarray, "h w 3"]:
        """The best regions of an expression under every visual prompt of the model."""
        chosen = list(grounding.ranking[: self.top])
        regions = grounding.regions[chosen]
        prompts = {
            prompt.name: (prompt, embedder.size, embedder.style)
            for embedder in self.model.grounder.embedders
            for prompt in getattr(embedder, "visual_prompts", ())
        }
        rows = {name: list(draw(image, regions, *settings)) for name, settings in prompts.items()}
        probabilities = grounding.probabilities.tolist()
        columns = [f"{rank}   {100 * probabilities[index]:.1f} %" for rank, index in enumerate(chosen, 1)]
        return contact_sheet(rows, columns)


@dataclass(frozen=True)
class ReferRecipe:
    """How another process makes its worker.

    Attributes:
        loading: of the model.
        known: what tells the images that the model knows from others; None for nothing.
        arguments: of :class:`ReferWorker`, after the model.
    """

    loading: Loading
    known: Familiarity | None
    arguments: tuple[Any, ...]

    def __call__(self) -> ReferWorker:
        """The worker.

        Raises:
            DensevlError: where the model cannot be loaded there.
        """
        model = self.loading.load()
        model.known = self.known
        return ReferWorker(model, *self.arguments)


def picture_names(relative: str, kind: str, count: int) -> list[str]:
    """The names of the pictures of an image, one an expression.

    Args:
        relative: name of its results.
        kind: ``"refer"`` or ``"marked"``.
        count: of expressions.
    """
    numbers = [""] if count == 1 else [f".{i + 1}" for i in range(count)]
    return [f"{relative}.{kind}{number}.png" for number in numbers]


def _record(grounding: Grounding) -> dict[str, Any]:
    masks = None if grounding.regions.masks is None else encode_masks(grounding.regions.masks.cpu())
    regions = []
    for rank, index in enumerate(grounding.ranking, 1):
        region = {
            "rank": rank,
            "region": index,
            "box": [round(value, 2) for value in grounding.regions.boxes[index].tolist()],
            "probability": float(grounding.probabilities[index]),
            "score": float(grounding.scores[index]),
            "parts": {name: float(values[index]) for name, values in grounding.parts.items()},
            "steps": {step.name: float(step.factor[index]) for step in grounding.steps},
        }
        regions.append(region if masks is None else {**region, "mask": masks[index]})
    return {
        "expression": grounding.expression,
        "read_as": str(grounding.phrase),
        "not_understood": list(grounding.not_understood),
        "count": grounding.phrase.count,
        "proposals": grounding.proposals,
        "presence": grounding.presence,
        "doubtful": grounding.doubtful,
        "unused": [step.name for step in grounding.steps if not step.used],
        "regions": regions,
    }
