"""Images and regions ordered by "larger" and by "nearer the left": Spearman's correlation with the truth.

The adapter is trained on scenes of the training split, three times, and judged on scenes of the other split: images of
one object, and regions of scenes of two to five. Settings were chosen on other scenes. What a cosine with the text says
stands beside it.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.benchmarks.tables.kept_runs import KeptRuns
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.scenes.ranks import RANKED, write_ranks
from densevl.datasets.scored import Scored, read_scored
from densevl.metrics.ranks import spearman
from densevl.metrics.table import Spread, Table
from densevl.training.tuning.methods import Settings, method_settings
from densevl.training.tuning.ranking import RankingModel, ScoredCells, encode_scored, judged, ranking_of
from densevl.training.tuning.run import run_tuning

__all__ = ["ranking_table"]

METHOD, MODEL = "ranking-adapter", "mini"
SEEDS, HELD_OUT_SEED, TRAINING_SEED, TRAINING_SCENES = (0, 1, 2), 11, 200, 1000
MOST = 200
"""Held-out scenes of each seed."""


def ranking_table(scenes: int, out: Path | None = None) -> Table:
    """Measure how well the ranking-aware adapter orders scenes.

    Args:
        scenes: held-out ones of each seed, of which 200 are used at most.
        out: folder of the figures of each run; a run whose figures are there is not repeated.
    """
    count, kept, model = min(scenes, MOST), KeptRuns(out), load(MODEL)
    encoder = model.viewer.encoder
    settings = method_settings(METHOD, encoder.model_id)
    about = {"encoder": encoder.model_id, "settings": settings.facts, "scenes": [TRAINING_SCENES, count]}
    with tempfile.TemporaryDirectory() as folder:
        trial = _Trial(model, settings, count, Path(folder))
        found = [kept(f"ranking-{seed}", about, partial(trial.figures, seed)) for seed in SEEDS]
    rows = [
        (f"{text}, {kind}", [Spread([one[kind][text][by] for one in found]) for by in ("adapter", "cosine")])
        for kind in ("images", "regions")
        for text in RANKED
    ]
    seconds = max(one["seconds"] for one in found)
    note = (
        f"{TRAINING_SCENES} training scenes; {count} held-out scenes a seed, half of them of one object; "
        f"{found[0]['model_id']}; {found[0]['steps']} steps, at most {seconds:.0f} s; mean ± standard deviation of "
        f"seeds {', '.join(map(str, SEEDS))}."
    )
    return Table(("Spearman × 100", "adapter", "cosine"), rows, note)


@dataclass(frozen=True, eq=False)
class _Trial:
    """Adapters of one model that are trained on the same scenes.

    Attributes:
        model: whose encoder they read; it stays as it is.
        settings: of the method.
        scenes: held-out ones of each seed.
        folder: where scenes are drawn.
    """

    model: Model
    settings: Settings
    scenes: int
    folder: Path

    @cached_property
    def training(self) -> ScoredCells:
        """The training scenes as the adapter reads them."""
        return self._seen(read_scored(write_ranks(self.folder / "training", TRAINING_SEED, TRAINING_SCENES)))

    def _seen(self, examples: Sequence[Scored]) -> ScoredCells:
        encoder = self.model.viewer.encoder
        return encode_scored(encoder, examples, min(encoder.image_size), self.settings.tunables[0]["cells"])

    def figures(self, seed: int) -> dict[str, Any]:
        """Train and judge an adapter."""
        encoder, training = self.model.viewer.encoder, self.training
        texts = encoder.embed_texts(training.texts).float().cpu()
        began = time.monotonic()
        learnt = RankingModel(training, texts, self.settings, seed)
        run_tuning(learnt, self.settings.length(learnt.examples, learnt.examples))
        seconds = time.monotonic() - began
        ranking = ranking_of(learnt, encoder.model_id, min(encoder.image_size))
        drawn = write_ranks(self.folder / f"held out {seed}", HELD_OUT_SEED + seed, self.scenes, split="val")
        examples = read_scored(drawn)
        steps = self.settings.steps
        found: dict[str, Any] = {"model_id": encoder.model_id, "steps": steps, "seconds": round(seconds, 1)}
        for kind in ("images", "regions"):
            own = [one for one in examples if (one.example.box is None) == (kind == "images")]
            seen = self._seen(own)
            order = judged(ranking, seen, ranking.read(encoder, seen.texts))
            cosines = _cosines(self.model, own)
            found[kind] = {text: {"adapter": 100 * order[text], "cosine": 100 * cosines[text]} for text in RANKED}
        return found


def _cosines(model: Model, examples: list[Scored]) -> dict[str, float]:
    """Spearman's correlation of cosines with texts, by the model's own region embedder."""
    words = model.embedder.encoder.embed_texts(list(RANKED)).float().cpu()
    found: dict[str, list[Tensor]] = {text: [] for text in RANKED}
    truth: dict[str, list[float]] = {text: [] for text in RANKED}
    of_image: dict[Path, list[Scored]] = {}
    for one in examples:
        of_image.setdefault(one.example.image, []).append(one)
    for path, some in of_image.items():
        image = read_image(path)
        regions = Regions.from_boxes([one.example.box_in(image.shape[:2]) for one in some], image.shape[:2])
        vectors = model.embed(image, regions).vectors.float().cpu()
        for one, vector in zip(some, vectors, strict=True):
            found[one.text].append(vector @ words[list(RANKED).index(one.text)])
            truth[one.text].append(one.score)
    return {text: spearman(torch.stack(found[text]), torch.tensor(truth[text])) for text in RANKED}
