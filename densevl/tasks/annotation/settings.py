"""The settings of a labelling run, as JSON values that go to other processes and machines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.core.registry import build
from densevl.regions.detectors import DETECTORS
from densevl.tasks.annotation.labeller import Labeller
from densevl.tasks.annotation.noun_phrases import MOST_PHRASES
from densevl.tasks.annotation.taggers import load_tagger

__all__ = ["LabelSettings", "build_labeller", "check_settings"]


@dataclass(frozen=True)
class LabelSettings:
    """Everything that decides what is labelled, and how it runs.

    Attributes:
        detector: config of a detector.
        captioner: repository or folder of a captioner; None for nobody.
        phrases: how noun phrases are found, see :func:`densevl.tasks.annotation.taggers.load_tagger`.
        threshold: boxes with a confidence at or below it are dropped.
        most: phrases of an image.
        batch: images that pass through a model together.
        device: where the models run.
        offline: never reach for the network.
    """

    detector: Mapping[str, Any] = field(default_factory=lambda: {"type": "owlv2"})
    captioner: str | None = None
    phrases: str = "rule"
    threshold: int | float = 0.1
    most: int = MOST_PHRASES
    batch: int = 8
    device: str = "cpu"
    offline: bool = False

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings that decide the records, for the head of a run: JSON values only."""
        deciding = {name: value for name, value in asdict(self).items() if name not in ("batch", "device", "offline")}
        places = [self.captioner, self.detector.get("weights")]
        return {
            **deciding,
            "files": {str(place): _files(Path(place)) for place in places if place and Path(place).is_dir()},
        }


def check_settings(settings: LabelSettings) -> None:
    """See that everything can be meant, before anything is loaded or fetched.

    Raises:
        UsageError: where a name is unknown, a library is missing or the threshold is no confidence.
    """
    load_tagger(settings.phrases)
    if not 0 <= settings.threshold < 1:
        raise UsageError(f"the threshold is a confidence in [0, 1); got {settings.threshold}")
    name = settings.detector.get("type")
    if DETECTORS.get(str(name)) is None:
        raise UsageError(f"detector {name!r} is unknown; {suggestion(str(name), sorted(DETECTORS.module_dict))}")


def _files(folder: Path) -> dict[str, int]:
    """Bytes of the files of a model, so that other weights in the same place are told apart."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


def build_labeller(settings: LabelSettings) -> Labeller:
    """The labeller of settings, its models on their device.

    Raises:
        UsageError: where a name is unknown or a library is missing.
        WeightsError: where the weights of a model cannot be had.
    """
    tagger = load_tagger(settings.phrases)
    captioner = None
    if settings.captioner is not None:
        from densevl.tasks.annotation.captioner import build_captioner

        captioner = build_captioner(settings.captioner, offline=settings.offline).to(settings.device)
    detector = build(DETECTORS, {**settings.detector, "offline": settings.offline})
    if hasattr(detector, "to"):
        detector = detector.to(settings.device)
    return Labeller(detector, tagger, captioner, settings.threshold, settings.most, settings.batch)
