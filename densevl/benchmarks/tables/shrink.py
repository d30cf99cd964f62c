"""The mini CLIP shrunk at once: label maps of held-out scenes, and time, at several widths and depths.

At each size the first parts are kept, as TinyCLIP's manual inheritance does, or those that matter most on drawn scenes
of the training split. Nothing is trained afterwards, but in the rows that say so: there the smaller image tower learns
from the larger one for some steps, with inherited or with new weights.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from densevl.api.jobs.shrink import WHOLE, Shrunk, Size, shrink
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.speed.cost import measure
from densevl.benchmarks.speed.runs import configured_segmentor
from densevl.benchmarks.tables.dinoiser import Row, count
from densevl.datasets.scenes.training import ScenePairs, SceneText
from densevl.encoders.clip import CLIPEncoder
from densevl.metrics.confusion import scores_of
from densevl.metrics.table import Cell, Table
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.training.distilled import DistilledEncoder

__all__ = ["shrink_table"]

CONFIG = "maskclip_scenes"
SEED = 31
"""Of the collection of held-out scenes; no setting was chosen on it."""

IMPORTANT: dict[str, Any] = {"length": 32, "size": 128, "zoom": (1.0, 2.0), "count": (1, 4), "seed": 21}
TAUGHT: dict[str, Any] = {"length": 2000, "size": 128, "zoom": (0.9, 2.4), "count": (1, 5), "seed": 22}
"""Scenes of the training split on which importance is measured, and those that some rows learn from."""

SIZES = ((192, 3), (192, 2), (144, 4), (144, 3), (96, 4))
TEXT = Size(None, 2)
LEARNT = Size(144, 3)
BATCH, RATE = 16, 5e-4
REPETITIONS = 9


def shrink_table(scenes: int, steps: int = 0) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes.
        steps: of the training of the last rows; 0 for none of them.
    """
    full = configured_segmentor(CONFIG)
    encoder = full.encoder
    assert isinstance(encoder, CLIPEncoder)
    seen = _pairs(IMPORTANT)
    images, texts = [image / 255 for image, _ in seen], [text.caption for _, text in seen]
    rows: list[tuple[str, Segmentor, CLIPEncoder]] = [("the mini CLIP", full, encoder)]

    def add(name: str, made: CLIPEncoder) -> None:
        rows.append((name, configured_segmentor(CONFIG, encoder=made), made))

    def cut(size: Size, text: Size = WHOLE, important: bool = False) -> Shrunk:
        return shrink(encoder, size, text, images=images if important else None, texts=texts)

    for width, depth in tqdm(SIZES, desc="sizes", leave=False, disable=None):
        for important, how in ((False, "first parts"), (True, "important parts")):
            add(f"width {width}, depth {depth}: {how}", cut(Size(width, depth), important=important).encoder(encoder))
    for important, how in ((False, "first parts"), (True, "important parts")):
        both = cut(Size(192, 3), TEXT, important)
        add(f"width 192, depth 3, text depth 2: {how}", both.encoder(encoder))
    if steps:
        for important, how in ((False, "first parts"), (True, "important parts")):
            add(
                f"{LEARNT.width}, {LEARNT.depth}, {steps} steps: {how}",
                _taught(cut(LEARNT, important=important).encoder(encoder), steps),
            )
        new = cut(LEARNT).encoder(encoder, inherited=False)
        add(f"{LEARNT.width}, {LEARNT.depth}, {steps} steps: new weights", _taught(new, steps))
    return _table(rows, scenes)


def _table(rows: list[tuple[str, Segmentor, CLIPEncoder]], scenes: int) -> Table:
    dataset = ScenesDataset(length=scenes, seed=SEED)
    matrices = count([Row(name, segmentor) for name, segmentor, _ in rows], dataset)
    scores = [scores_of(matrix, dataset.vocabulary.names, dataset.metainfo["groups"]) for matrix in matrices]
    image = dataset.scene(0).image
    work = {name: (lambda segmentor=segmentor: segmentor.encode([image])) for name, segmentor, _ in rows}
    times = measure(work, REPETITIONS, clock=time.process_time)
    cells: list[tuple[str, list[Cell]]] = [
        (
            name,
            [
                _millions(made.model.visual),
                _millions(made.model) - _millions(made.model.visual),
                score.mean_iou,
                1000 * times[name].median,
            ],
        )
        for (name, _, made), score in zip(rows, scores, strict=True)
    ]
    note = (
        f"{scenes} held-out scenes (collection {SEED}), short side {rows[0][1].short_side}, {len(dataset.vocabulary)} "
        f"classes. Milliseconds of processor time that encoding one of them takes, median of {REPETITIONS}. Importance "
        f"is measured on {IMPORTANT['length']} scenes of the training split."
    )
    return Table(("image tower", "million weights", "of texts", "mIoU", "ms"), cells, note)


def _millions(module: torch.nn.Module) -> float:
    return sum(one.numel() for one in module.parameters()) / 1e6


def _pairs(settings: dict[str, Any]) -> list[tuple[Tensor, SceneText]]:
    pairs = ScenePairs(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [(pair["images"], pair["texts"]) for pair in (pairs[index] for index in range(len(pairs)))]


def _batches(steps: int) -> Iterator[tuple[Tensor, list[SceneText]]]:
    """The same batches for every row."""
    pairs = _pairs({**TAUGHT, "length": min(TAUGHT["length"], steps * BATCH)})
    order = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(pairs), (BATCH,), generator=order).tolist()
        yield torch.stack([pairs[index][0] for index in chosen]), [pairs[index][1] for index in chosen]


def _taught(student: CLIPEncoder, steps: int) -> CLIPEncoder:
    """The student after some steps of learning from the mini CLIP, see :mod:`densevl.training.distilled`."""
    training = DistilledEncoder(student)
    parameters = [one for one in training.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    for images, texts in tqdm(_batches(steps), total=steps, desc="steps", leave=False, disable=None):
        optimizer.zero_grad()
        torch.stack(list(training(images, texts).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    return student.eval().requires_grad_(False)
