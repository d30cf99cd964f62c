"""Frequency that is caused: how well a colour is known after it was shown in 0, 1, 10, 100 or 1000 images.

The law of Udandarao et al. (NeurIPS 2024, https://arxiv.org/abs/2404.04125) is found by looking at models; here the
frequency is set. The mini CLIP goes on training, both towers, on scenes of known pairs and of five colours that it
never saw and whose words it never read. Each colour has one of the counts, another one with each seed, and is shown
with half of the shapes, so that pairs that never occur can be told from words that never do. The objects of held-out
scenes are named by their pooled dense features, out of all pairs of thirteen colours and eight shapes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.tables.kept_runs import KeptRuns
from densevl.core.regions import Regions
from densevl.datasets.scenes import SHAPES, Scene, render
from densevl.datasets.scenes.counted import UNKNOWN_COLOURS, CountedPlan, draw_counted
from densevl.datasets.scenes.scene import ALL_COLOURS, COLOURS
from densevl.encoders.clip import CLIPEncoder
from densevl.metrics.frequency import FrequencyScores, Line
from densevl.metrics.table import Cell, Spread, Table, mean_percent
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.training.contrastive import ContrastiveCLIP

__all__ = ["frequency_table"]

SEEDS, LEVELS = (0, 1, 2), (0, 1, 10, 100, 1000)
"""Runs, and the numbers of images that show a colour; the settings below were chosen with seed 101."""

SHOWN, KNOWN = 4, 1000
"""Shapes that a colour is shown with; further images, of known pairs."""

STEPS, BATCH, RATE = 120, 24, 3e-4

SIDE, SHORT, COLLECTION = 96, 128, 9000
"""Sides in pixels of held-out scenes, as drawn and as encoded; number that is added to the seed for them."""

ONCE = len((*UNKNOWN_COLOURS, *COLOURS)) * len(SHAPES)
"""Scenes that have each pair once; these alone are looked at before the training, whose model is that of all seeds."""

NAMES = tuple(f"{colour} {shape}" for colour in ALL_COLOURS for shape in SHAPES)

Run = dict[str, Any]
"""What is kept of a run: its plan, and every answer."""


def frequency_table(scenes: int, steps: int = STEPS, out: Path | None = None) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes of each seed, one of each pair at least.
        steps: of each training.
        out: folder where each run is kept, and found again; None keeps none.
    """
    runs = [_run(seed, scenes, steps, out) for seed in SEEDS]
    rows: list[tuple[str, Sequence[Cell]]] = [_row(level, runs) for level in LEVELS]
    known = Spread([_percent(run, "after", colours=COLOURS) for run in runs])
    before = Spread([_percent(run, "before", colours=COLOURS) for run in runs])
    rows.append(("known colours", [known, "–", Spread([_colour(run, "after", COLOURS) for run in runs]), before]))
    head = ("images of a colour", "named right: shown pairs", "pairs never shown", "colour right", "before")
    count = len(runs[0]["truths"])
    note = (
        f"Objects of {count} held-out scenes of {SIDE} px a seed, out of {len(NAMES)} names; {steps} steps of {BATCH} "
        f"images on {sum(LEVELS) + KNOWN} scenes, {KNOWN} of them of known pairs alone; mean ± standard deviation of "
        f"the seeds {', '.join(map(str, SEEDS))}, in each of which a colour has another count."
    )
    return Table(head, rows, note, [_lines(runs)])


def _lines(runs: Sequence[Run]) -> Table:
    """The lines through the pairs of unknown colours, by the images of their colour."""
    scores = [_scores(run) for run in runs]
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("class by class", _fits([one.line for one in scores])),
        ("means of decades", _fits([one.line_of_decades for one in scores])),
    ]
    never = Spread([one.never_mean for one in scores])
    note = (
        f"Names right, in percent, over log10 of the images of the colour; classes are pairs of unknown colours. "
        f"Colours that are never shown are left out: {never:.1f} of them are right."
    )
    return Table(("lines", "Pearson × 100", "points for ten times as many"), rows, note)


def _fits(lines: Sequence[Line]) -> list[Cell]:
    return [Spread([100 * line.pearson for line in lines]), Spread([line.slope for line in lines])]


def _scores(run: Run) -> FrequencyScores:
    counts, right = run["plan"]["counts"], _right(run, "after")
    truths = np.array(run["truths"])
    names = [name for name in NAMES if name.split()[0] in counts]
    values = [mean_percent(right[truths == name].tolist()) for name in names]
    return FrequencyScores(np.array([counts[name.split()[0]] for name in names]), np.array(values))


def _row(level: int, runs: Sequence[Run]) -> tuple[str, Sequence[Cell]]:
    cells: list[Cell] = []
    of_level = [[colour for colour, count in run["plan"]["counts"].items() if count == level] for run in runs]
    for shown in (True, False):
        figures = [_percent(run, "after", own, shown) for run, own in zip(runs, of_level, strict=True)]
        cells.append(Spread(figures) if not np.isnan(figures).any() else "–")
    cells.append(Spread([_colour(run, "after", own) for run, own in zip(runs, of_level, strict=True)]))
    cells.append(Spread([_percent(run, "before", own) for run, own in zip(runs, of_level, strict=True)]))
    return str(level), cells


def _right(run: Run, when: str) -> np.ndarray:
    return np.array(run["truths"])[: len(run[when])] == np.array(run[when])


def _percent(run: Run, when: str, colours: Sequence[str] | Mapping[str, Any], shown: bool | None = None) -> float:
    """Share of the objects of some colours that get their name, of pairs that were shown, never shown, or all."""
    pairs = {f"{colour} {shape}" for colour, shapes in run["plan"]["shown"].items() for shape in shapes}
    kept = [truth.split()[0] in colours and (shown is None or (truth in pairs) == shown) for truth in run["truths"]]
    right = _right(run, when)
    return mean_percent(right[np.array(kept[: len(right)])].tolist())


def _colour(run: Run, when: str, colours: Sequence[str] | Mapping[str, Any]) -> float:
    """Share of the objects of some colours that get a name with their colour."""
    pairs = zip(run["truths"], run[when], strict=False)
    return mean_percent([truth.split()[0] == given.split()[0] for truth, given in pairs if truth.split()[0] in colours])


def _run(seed: int, scenes: int, steps: int, out: Path | None) -> Run:
    """A run, read where it was kept with the same settings."""
    settings = {
        "seed": seed, "scenes": scenes, "steps": steps, "batch": BATCH, "rate": RATE, "levels": LEVELS,
        "shapes": SHOWN, "known": KNOWN,
    }  # fmt: skip
    return KeptRuns(out)(f"frequency-{seed}", settings, lambda: _measured(seed, scenes, steps))


def _measured(seed: int, scenes: int, steps: int) -> Run:
    encoder = load("mini", device="cpu").segmentor.encoder
    assert isinstance(encoder, CLIPEncoder)
    plan = CountedPlan.of_seed(seed, LEVELS, SHOWN, KNOWN)
    training = ContrastiveCLIP(cover_patches=4, weights=(0.5, 1.0, 1.0), ramp=(0, 1), balance=0.5, seed=seed)
    training.clip.load_state_dict(encoder.model.state_dict())
    held_out = _held_out(seed, scenes)
    before = _named(training, held_out[:ONCE], f"{encoder.model_id}, before")
    _train(training, plan, seed, steps)
    shown: dict[str, list[str]] = {colour: [] for colour in plan.counts}
    for colour, shape in plan.pairs:
        shown[colour].append(shape)
    return {
        "plan": {"counts": dict(plan.counts), "shown": shown},
        "truths": [scene.objects[0].name for scene in held_out],
        "before": before,
        "after": _named(training, held_out, f"{encoder.model_id}, frequency {seed}"),
    }


def _train(training: ContrastiveCLIP, plan: CountedPlan, seed: int, steps: int) -> None:
    """Go on training on the images of a plan."""
    pool = draw_counted(plan, seed)
    parameters = list(training.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    left: list[int] = []
    training.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in tqdm(range(steps), desc=f"seed {seed}", unit="step", delay=2, disable=None):
            if len(left) < BATCH:
                left = torch.randperm(len(pool)).tolist()
            batch = [pool[left.pop()] for _ in range(BATCH)]
            images = [image.flip(-1) if torch.rand(()) < 0.5 else image for image, _ in batch]
            optimizer.zero_grad()
            torch.stack(list(training(images, [text for _, text in batch]).values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    training.eval()


def _held_out(seed: int, scenes: int) -> list[Scene]:
    """Scenes whose first object is asked for: all colours and shapes alike, with a known thing beside."""
    rng = np.random.default_rng([seed, 3])
    colours = [*UNKNOWN_COLOURS, *COLOURS]
    found = []
    for index in range(max(scenes, ONCE)):
        colour, shape = colours[index % len(colours)], SHAPES[index // len(colours) % len(SHAPES)]
        beside = next(
            (str(one), str(two))
            for one, two in zip(rng.permutation(list(COLOURS)), rng.permutation(SHAPES), strict=True)
            if one != colour
        )
        found.append(render(COLLECTION + seed, index, SIDE, "val", things=[(colour, shape), beside]))
    return found


@torch.inference_mode()
def _named(training: ContrastiveCLIP, scenes: Sequence[Scene], name: str) -> list[str]:
    """The name of the first object of each scene, by the mean of its dense features."""
    encoder = CLIPEncoder(training.clip.eval(), training.tokenizer, name)
    embedder = MaskPooling(encoder, short_side=SHORT)
    texts = encoder.embed_texts(NAMES)
    found = []
    for scene in tqdm(scenes, desc=name, unit="scene", delay=2, disable=None):
        regions = Regions.from_masks(torch.from_numpy(scene.objects[0].mask[None]))
        found.append(NAMES[int((texts @ embedder.embed(scene.image, regions).vectors[0]).argmax())])
    return found
