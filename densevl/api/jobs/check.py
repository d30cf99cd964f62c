"""Checking taught classes on labelled examples: how right they are, how sure they may be, and what they do not know.

It writes ``index.html``, a page for any browser, its pictures below ``page/``, and ``check.json``, which holds every
figure of the page, written last.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densevl.api.jobs.check_page import write_check_page
from densevl.api.model import Model
from densevl.classifiers.classes import Classes
from densevl.classifiers.evidence import SHARE, check_share
from densevl.core.files import atomic_write
from densevl.datasets.examples import Example, SequenceExample
from densevl.tasks.teaching.checking import Checked, check_pixels, check_regions
from densevl.tasks.teaching.sequences import check_sequences

__all__ = ["CheckJob"]


class CheckJob:
    """Checks classes and writes what was found.

    Args:
        model: the loaded model, the one that was taught.
        classes: the classes.
        source: the file of the classes, as it was named.
        report: the folder.
        share: of known things that may be called unknown, in (0, 0.5].

    Raises:
        UsageError: where the classes were taught for another model, or without a head for regions.
    """

    def __init__(self, model: Model, classes: Classes, source: Path, report: Path, share: float = SHARE) -> None:
        self.model, self.classes = model, model.bound(classes)
        self.source, self.report, self.share = source, report, share
        check_share(share)

    def run(self, examples: Sequence[Example] | Sequence[SequenceExample], test: str) -> dict[str, Checked]:
        """Check and write.

        Args:
            examples: labelled regions, or sequences, that the classes were not taught by.
            test: where they were read, for the report.

        Raises:
            ImageError: where an image cannot be read.
            OutputError: where the report cannot be written.
            UsageError: where no example is of a class, or the examples cannot be used.
        """
        found = {name: self._check(name, examples) for name in self.classes.heads}
        data = self._as_dict(found, test)
        write_check_page(self.report, self.classes, found, data)
        with atomic_write(self.report / "check.json") as temporary:
            text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return found

    def _check(self, head: str, given: Sequence[Example] | Sequence[SequenceExample]) -> Checked:
        if head == "sequences":
            sequences = [one for one in given if isinstance(one, SequenceExample)]
            return check_sequences(self.classes, sequences, self.model.sequences, self.share)
        examples = [one for one in given if isinstance(one, Example)]
        if head == "regions":
            return check_regions(self.classes, examples, self.model.pipeline, self.share)
        labels = self.model.read_classes(replace(self.classes, heads={head: self.classes.heads[head]}), "none")
        return check_pixels(self.classes, examples, lambda image: self.model.segment(image, labels, scores=True))

    def _as_dict(self, found: dict[str, Checked], test: str) -> dict[str, Any]:
        first = next(iter(found.values()))
        known = first.each.known.tolist()
        unknown = sorted({one.name for one, own in zip(first.examples, known, strict=True) if not own})
        return {
            "format": "densevl check 1",
            "classes": {"file": str(self.source), "digest": self.classes.digest, "names": list(self.classes.names)},
            "model": self.model.name,
            "test": {"source": test, "examples": len(first.examples), "unknown_names": unknown},
            "heads": {
                name: {**one.as_dict(self.share), "facts": dict(self.classes.heads[name].facts)}
                for name, one in found.items()
            },
        }

    def lines(self, found: dict[str, Checked]) -> list[str]:
        """The figures of most weight, for people."""
        lines = []
        for name, one in found.items():
            figures = one.as_dict(self.share)
            counted = "the pixels" if name == "pixels" else f"{figures['known']} examples"
            overlap = f", mIoU {figures['mIoU']:.1%}" if name == "pixels" else ""
            lines.append(
                f"{name}: {figures['accuracy']:.1%} of {counted} are right{overlap} (ECE {figures['ece']:.3f})"
            )
            sets, strange, called = figures["sets"], figures["out_of_distribution"], figures["called_unknown"]
            if sets:
                lines.append(
                    f"  sets that promise {sets['coverage']:.0%} hold the true class in {sets['covered']:.1%}, with "
                    f"{sets['classes']:.2f} classes on average"
                )
            if name != "pixels" and called is None:
                lines.append(f"  too few held-out examples to say what is unknown at {self.share:g}: teach with more")
            if called and called["known_called_unknown"] is not None:
                lines.append(f"  {called['known_called_unknown']:.1%} of the known are called unknown")
            if called and called["unknown_called_unknown"] is not None:
                lines.append(f"  {called['unknown_called_unknown']:.1%} of {figures['unknown']} strangers are")
            if strange:
                lines.append(
                    f"  strangers are told apart with AUROC {strange['auroc']:.3f}, FPR95 {strange['fpr95']:.3f}"
                )
        return lines
