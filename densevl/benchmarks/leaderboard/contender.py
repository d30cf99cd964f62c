"""One model on one data set: built with its protocol, measured image by image, and what is said of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS

from densevl.api.heads import heads
from densevl.api.loading import choose_device
from densevl.benchmarks.leaderboard.sets import BenchmarkSet
from densevl.benchmarks.leaderboard.tally import Counted, Tally, fingerprint
from densevl.benchmarks.presets import OWN, Preset, own_protocol
from densevl.core.labelmap import IGNORED
from densevl.dense.guides.kept import Kept
from densevl.metrics.confusion import confusion_matrix, scores_of

__all__ = ["Contender", "Result", "build_contender"]


@dataclass(frozen=True)
class Result:
    """The figures of a model on a data set.

    Attributes:
        miou: in percent.
        published: what its paper has, on these weights; None where it has none.
        images: how many were labelled.
        full: how many the whole benchmark has; None where it is not known.
        failures: how many could not be used.
        per_second: images a second.
        protocol: everything that decides the figure.
        preset: name of the published protocol; empty for the settings of the model.
        mix: what differs from it.
        doubts: what is not known of it.
    """

    miou: float
    published: float | None
    images: int
    full: int | None
    failures: int
    per_second: float
    protocol: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""
    mix: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Contender:
    """A model on a data set.

    Args:
        name: of the model, perhaps with an encoder behind ``@``.
        model: built with its protocol.
        data: the data set.
        preset: the protocol; None for the settings of the model.
        folder: where what is reached is kept.
    """

    def __init__(self, name: str, model: Any, data: BenchmarkSet, preset: Preset | None, folder: Path) -> None:
        self.name, self.model, self.data, self.preset = name, model, data, preset
        self.protocol = {**model.protocol, **data.dataset.protocol}
        self.path = folder / data.name.replace("/", "-") / f"{name.replace('/', '-')}.npz"
        self.key = fingerprint({**self.protocol, "data": data.files})
        self.tally = Tally.read(self.path, len(data.dataset.vocabulary), self.key)
        self.skipped = False

    @property
    def finished(self) -> bool:
        """True where every image was labelled."""
        return self.tally.images >= len(self.data.dataset)

    def measure(self, sample: Mapping[str, Any], kept: tuple[Kept, ...]) -> Counted:
        """Label an image and count its pixels; the first one of a process warms up and is not timed.

        Args:
            sample: of the data set.
            kept: what others have made of the image; its seconds are charged.
        """
        seen, image = sample["data_samples"], sample["inputs"]
        if "failure" in seen:
            return Counted.none()
        for one in kept:
            one.read_by_another()
        device = self.model.segmentor.device
        started = _now(device)
        self.model.forward([image], [seen])
        seconds = _now(device) - started + sum(one.spared for one in kept)
        labels = seen.pred_sem_seg.data[0].cpu()
        truth, ignored = seen.gt_sem_seg.data[0], seen.get("ignored", IGNORED)
        is_timed, self.skipped = self.skipped or len(self.data.dataset) == 1, True
        matrix = confusion_matrix(truth, labels, len(self.tally.matrix), ignored)
        return Counted.of(matrix, seconds if is_timed else None)

    def keep(self) -> None:
        """Write what was reached."""
        self.tally.write(self.path, self.key)

    @property
    def result(self) -> Result:
        """The figures of all images that were labelled."""
        scores = scores_of(self.tally.matrix, self.data.dataset.vocabulary.names)
        found = {**self.protocol, **self.model.protocol}
        return Result(
            scores.mean_iou,
            self._published,
            self.tally.images - self.tally.failures,
            self.data.full,
            self.tally.failures,
            self.tally.per_second,
            found,
            "" if self.preset is None else self.preset.protocol.name,
            () if self.preset is None else tuple(self.preset.mixed(found)),
            () if self.preset is None else tuple(self.preset.protocol.doubts(self.data.name)),
        )

    @property
    def _published(self) -> float | None:
        head = heads().get(self.name.partition("@")[0])
        weights = str(self.protocol["encoder"]).partition("@")[0]
        return None if head is None else head.published.get(weights, {}).get(self.data.name)


def build_contender(
    name: str, data: BenchmarkSet, protocol: str | None, folder: Path, weights: str | None = None, **options: Any
) -> Contender:
    """Build a model for a data set.

    Args:
        name: of the model.
        data: the data set.
        protocol: a published one by name, ``"own"`` for that of each model that has one, or None.
        folder: where what is reached is kept.
        weights: in the place of the model's own.
        options: further settings of the model.

    Raises:
        UsageError: where the model or the protocol cannot be used.
        WeightsError: where the weights cannot; nothing is fetched.
    """
    config = data.config.copy()
    config.model.update({"model": name, "offline": True, **options})
    if weights is not None:
        config.model.weights = weights
    wanted = None if protocol == OWN and own_protocol(name) is None else protocol
    by_hand = {f"model.{key}": value for key, value in options.items()}
    preset = None if wanted is None else Preset.of(wanted, name, data.name, by_hand)
    if preset is not None:
        preset.lay(config)
    model = MODELS.build(config.model)
    model.to(choose_device(None))
    return Contender(name, model, data, preset, folder)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
