"""Images and regions ordered by "larger" and by "nearer the left": Spearman's correlation with the truth.

The adapter is trained on scenes of the training split, three times, and judged on scenes of the other split: images of
one object, and regions of scenes of two to five. Settings were chosen on other scenes. What a cosine with the text says
stands beside it.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.core.files import atomic_write, read_json
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.scenes.ranks import RANKED, write_ranks
from densevl.datasets.scored import Scored, read_scored
from densevl.metrics.ranks import spearman
from densevl.metrics.table import Spread, Table
from densevl.training.tuning.methods import method_settings
from densevl.training.tuning.ranking import RankingModel, encode_scored, judged, ranking_of
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
    with tempfile.TemporaryDirectory() as nowhere:
        folder = Path(nowhere) if out is None else out
        folder.mkdir(parents=True, exist_ok=True)
        count = min(scenes, MOST)
        files = {seed: folder / f"ranking-{MODEL}-{seed}-{count}.json" for seed in SEEDS}
        left = {seed: file for seed, file in files.items() if not file.is_file()}
        if left:
            _measure(left, count, Path(nowhere))
        found = [read_json(files[seed]) for seed in SEEDS]
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


def _measure(files: Mapping[int, Path], scenes: int, drawn: Path) -> None:
    """Train and judge each seed, and write its figures."""
    model = load(MODEL)
    encoder = model.viewer.encoder
    settings = method_settings(METHOD, encoder.model_id)
    side, cells = min(encoder.image_size), settings.tunables[0]["cells"]
    training = encode_scored(
        encoder, read_scored(write_ranks(drawn / "training", TRAINING_SEED, TRAINING_SCENES)), side, cells
    )
    texts = encoder.embed_texts(training.texts).float().cpu()
    for seed, file in files.items():
        began = time.monotonic()
        learnt = RankingModel(training, texts, settings, seed)
        run_tuning(learnt, settings.length(learnt.examples, learnt.examples))
        seconds = time.monotonic() - began
        ranking = ranking_of(learnt, encoder.model_id, side)
        examples = read_scored(write_ranks(drawn / f"held out {seed}", HELD_OUT_SEED + seed, scenes, split="val"))
        found: dict[str, Any] = {"model_id": encoder.model_id, "steps": settings.steps, "seconds": round(seconds, 1)}
        for kind in ("images", "regions"):
            own = [one for one in examples if (one.example.box is None) == (kind == "images")]
            seen = encode_scored(encoder, own, side, cells)
            order = judged(ranking, seen, ranking.read(encoder, seen.texts))
            cosines = _cosines(model, own)
            found[kind] = {text: {"adapter": 100 * order[text], "cosine": 100 * cosines[text]} for text in RANKED}
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


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
