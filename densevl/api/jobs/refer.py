"""Finding what expressions refer to in one image, and writing what was found, each file whole or not at all.

For an image ``cat.jpg`` it writes

* ``cat.refer.png``: the best regions and their probabilities; ``cat.refer.1.png`` and so on for several expressions;
* ``cat.marked.png``, with ``show_marked``: the same regions under each visual prompt of the model, as a contact sheet;
  ``cat.marked.1.png`` and so on for several expressions, numbered as the images are;
* ``index.html``, with ``html``: a page of the regions, and its pictures below ``page/``;
* ``cat.refer.json``: every region of every expression with its box (xyxy), mask, scores and probability, written last.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.api.jobs.familiarity import Unfamiliar, familiarity_record
from densevl.api.jobs.pages import write_refer_page
from densevl.api.model import Model
from densevl.classifiers.classes import Classes
from densevl.core.drawing.overlay import write_image
from densevl.core.drawing.sheets import contact_sheet
from densevl.core.files import InputFile, atomic_write
from densevl.core.inputs import Input
from densevl.core.masks import encode_masks
from densevl.regions.proposals import Proposals
from densevl.regions.visual_prompts import draw
from densevl.tasks.grounding.grounding import Grounding
from densevl.tasks.grounding.picture import draw_ranking

__all__ = ["ReferJob"]


class ReferJob:
    """Grounds expressions in one image and writes the results.

    Args:
        model: a model with a grounder.
        out: folder of the results; made where it is missing.
        top: how many regions the images show.
        show_marked: also write the marked images.
        html: also write a page.
        classes: taught classes; a noun that is the name of one means what was taught.
    """

    def __init__(
        self,
        model: Model,
        out: Path,
        top: int = 5,
        show_marked: bool = False,
        html: bool = False,
        classes: Classes | None = None,
    ) -> None:
        self.classes, self.taught = classes, None if classes is None else model.taught_nouns(classes)
        self.model, self.out, self.top, self.show_marked, self.html = model, out, top, show_marked, html
        self.unfamiliar = Unfamiliar(model.name, "fgvp")

    def run(
        self, source: Path | Input, expressions: Sequence[str], proposals: Proposals | None = None
    ) -> list[Grounding]:
        """Ground all expressions and write the results.

        Args:
            source: the image.
            expressions: what to find.
            proposals: the regions to choose from; None lets the model propose.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where an expression or the proposals cannot be used.
            OutputError: where a result cannot be written.
        """
        item = _input(source)
        image = item.read()
        found = self.model.grounder.refer(image, list(expressions), proposals, Path(item.place).name, self.taught)
        for picture, grounding in zip(self.pictures(item, len(found)), found, strict=True):
            write_image(picture, draw_ranking(image, grounding, self.top))
        for sheet, grounding in zip(self.sheets(item, len(found)), found, strict=False):
            write_image(sheet, self._marked(image, grounding))
        if self.html:
            write_refer_page(self.out, item.relative, image, found, self.model.name, self.top)
        record: dict[str, Any] = {
            "image": {"file_name": item.name, "height": image.shape[0], "width": image.shape[1]},
            "model": self.model.name,
            "protocol": self.model.grounder.protocol,
            **({} if self.classes is None else {"classes": self.classes.digest}),
            "expressions": [_record(grounding) for grounding in found],
        }
        if self.classes is not None and self.classes.heads["regions"].evidence is not None:
            self._support(record, image, found, self.classes)
        if self.model.known is not None:
            record["familiarity"] = familiarity_record(self.model.known, self.model.familiarity(image))
            self.unfamiliar.note(item.name, record["familiarity"])
        with atomic_write(self.out / f"{item.relative}.refer.json") as temporary:
            temporary.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        return found

    def texts_of(self, found: Sequence[Grounding]) -> list[str]:
        """The phrases of expressions that the model read, those about taught classes apart."""
        texts = [text for grounding in found for text in grounding.phrase.texts]
        return [text for text in texts if self.taught is None or self.taught.noun(text) is None]

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

    def pictures(self, source: Path | Input, count: int) -> list[Path]:
        """The files of the images with the ranking."""
        return self._files(source, "refer", count)

    def sheets(self, source: Path | Input, count: int) -> list[Path]:
        """The files of the contact sheets; none without ``show_marked``."""
        return self._files(source, "marked", count) if self.show_marked else []

    def _files(self, source: Path | Input, kind: str, count: int) -> list[Path]:
        numbers = [""] if count == 1 else [f".{i + 1}" for i in range(count)]
        return [self.out / f"{_input(source).relative}.{kind}{number}.png" for number in numbers]

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


def _input(source: Path | Input) -> Input:
    return InputFile(source, source.stem) if isinstance(source, Path) else source


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
