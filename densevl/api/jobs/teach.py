"""Teaching classes and writing what was learnt: the file of the classes, and pictures for people.

With a report folder it writes

* ``examples.png``: what was shown, class by class;
* ``regions.confusion.png`` or ``pixels.confusion.png``: which class held-out examples of each class were taken for;
* ``regions.reliability.png``, likewise: how often answers of a confidence were right.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densevl.api.loading import Loading
from densevl.api.model import Model
from densevl.classifiers.classes import Head
from densevl.core.drawing.overlay import write_image
from densevl.core.engine import HERE, Engine
from densevl.tasks.teaching.pictures import (
    confusion_picture,
    example_sheet,
    reliability_picture,
    sequence_sheet,
)
from densevl.tasks.teaching.teacher import Taught

__all__ = ["TeachJob"]

POOR, CLOSEST = 0.85, "marked-images"
"""Accuracy below which another region embedder is advised, and which: the one that sees most of a region."""


class TeachJob:
    """Teaches a model classes and writes them.

    Args:
        model: the loaded model.
        out: the file of the classes.
        report: folder of pictures; None for none.
        loaded: further arguments that loaded the model, so that other commands can load it again.
        engine: where examples are encoded.
        loading: how other processes load the model; needed where the engine has any.
    """

    def __init__(
        self,
        model: Model,
        out: Path,
        report: Path | None = None,
        loaded: Mapping[str, Any] | None = None,
        engine: Engine = HERE,
        loading: Loading | None = None,
    ) -> None:
        self.placed: dict[str, Any] = {"engine": engine, "again": None if loading is None else loading.load}
        self.model, self.out, self.report, self.loaded = model, out, report, dict(loaded or {})

    def run(self, examples: Sequence[Any], **settings: Any) -> Taught:
        """Teach and write; nothing is written where teaching fails.

        Args:
            examples: what to learn from: regions of images, or sequences.
            settings: of :meth:`Model.taught`.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the examples cannot be used.
            OutputError: where a result cannot be written.
        """
        taught = self.model.taught(examples, **settings, loaded=self.loaded, **self.placed)
        taught.classes.save(self.out)
        for path, picture in self._pictures(taught).items():
            write_image(path, picture)
        return taught

    def _pictures(self, taught: Taught) -> dict[Path, Any]:
        if self.report is None:
            return {}
        sheet = sequence_sheet if "sequences" in taught.classes.heads else example_sheet
        made = {self.report / "examples.png": sheet(taught)}
        for name, held in taught.held_out.items():
            if held is not None:
                made[self.report / f"{name}.confusion.png"] = confusion_picture(held, taught.classes.names)
                made[self.report / f"{name}.reliability.png"] = reliability_picture(held)
        return made

    def _advice(self, name: str, head: Head) -> list[str]:
        """What may help where few held-out regions were right."""
        accuracy, own = head.facts["held_out"]["accuracy"], self.model.embedder.protocol["type"]
        if name != "regions" or accuracy >= POOR or own == CLOSEST:
            return []
        return [f"  --embedder {CLOSEST} may do better: it looks at each region by itself, and takes longer"]

    def lines(self, taught: Taught) -> list[str]:
        """What was learnt, for people."""
        classes, lines = taught.classes, []
        counts = [taught.labels.count(label) for label in range(len(classes))]
        lines += [f"{count:7}  {name}" for name, count in zip(classes.names, counts, strict=True)]
        for name, head in classes.heads.items():
            held = head.facts.get("held_out")
            method = f"{name}: {head.facts['method']}, {head.dim} numbers"
            if held is None:
                lines.append(
                    f"{method}; nothing could be held out, so probabilities are not calibrated and nothing can be "
                    "called unknown: give examples of each class from two "
                    f"{'sequences' if name == 'sequences' else 'images'}"
                )
            else:
                shown = "sequences" if name == "sequences" else "images"
                judged = f"{held['examples']} examples" if "examples" in held else "pixels"
                calibration = f" (ECE {held['ece']:.3f})" if "ece" in held else ""
                lines.append(f"{method}; {held['accuracy']:.1%} of {judged} of held-out {shown} are right{calibration}")
                lines += self._advice(name, head)
        lines.append(f"{self.out}")
        if self.report is not None:
            lines.append(f"{self.report / 'examples.png'}")
        return lines
