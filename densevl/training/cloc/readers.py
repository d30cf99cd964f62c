"""Ways to read regions on a frozen CLIP, trained alike on scenes that are encoded once.

A plain loop beside MMEngine's: same losses, optimizer, rates and batches as ``configs/cloc_train_scenes.py``, for two
dozen short trainings on the same tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from densevl.regions.embedders.prompter import Prompter
from densevl.regions.embedders.prompter_start import start_at_box_pooling, start_at_pooling
from densevl.regions.embedders.roi_align import MaskReader, RoIAlignReader
from densevl.training.cloc.encoded_scenes import EncodedScenes, padded
from densevl.training.cloc.losses import ALIKE, cloc_losses, sample_regions

__all__ = ["READERS", "Way", "make_reader", "train_reader"]

READERS = ("prompter", "roi-align", "mask")
BATCH, WARMUP = 32, 50
RATE, DECAY, LONGEST = 1e-3, 0.02, 1.0
SETTINGS: dict[str, Any] = {"pool": "hint", "corner_tokens": 1, "placed": True, "frequencies": 12, "gain": 0.25}
"""Of the prompter, as in ``configs/cloc_train_scenes.py``."""


@dataclass(frozen=True)
class Way:
    """How regions are read and how the reader is trained.

    Attributes:
        name: what tables call it.
        reader: one of :data:`READERS`.
        most: M, regions of an image in a step.
        threshold: of the text filter; None for none.
        grounding: factor of L_ground; the prompter alone can locate texts.
    """

    name: str
    reader: str = "prompter"
    most: int = 4
    threshold: float | None = ALIKE
    grounding: float = 1.0


def make_reader(kind: str, encoder: Any, seed: int) -> nn.Module:
    """A new reader that starts at pooling of f', with the CLIP's own last normalisation and projection.

    Args:
        kind: one of :data:`READERS`.
        encoder: the CLIP.
        seed: of what is drawn at random.
    """
    visual = encoder.model.visual
    norm, projection = visual.ln_post, visual.proj.detach()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "prompter":
            prompter = Prompter(encoder.width, encoder.dim, **SETTINGS)
            start_at_box_pooling(prompter, norm, projection)
            return prompter
        reader = (RoIAlignReader if kind == "roi-align" else MaskReader)(encoder.width, encoder.dim)
        start_at_pooling(reader, norm, projection)
        return reader


def train_reader(reader: Any, way: Way, scenes: EncodedScenes, steps: int, seed: int) -> None:
    """Train a reader on clean boxes, or on true masks where it reads masks.

    Args:
        reader: of :func:`make_reader`; it is changed.
        way: losses and sampling.
        scenes: what it is trained on.
        steps: of :data:`BATCH` images each; the rate rises over the first 50 and falls along a cosine.
        seed: of the order of images and the regions drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(_groups(reader), lr=RATE, betas=(0.9, 0.98))
    warmup = min(WARMUP, steps // 4 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, warmup))
    for _ in tqdm(range(steps), desc=f"{way.name}, seed {seed}", leave=False, disable=None):
        images = torch.randint(len(scenes), (BATCH,), generator=generator).tolist()
        losses = _losses(reader, way, scenes, images, generator)
        optimizer.zero_grad()
        (losses["loss_cloc"] + way.grounding * losses.get("loss_ground", losses["loss_cloc"] * 0)).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), LONGEST)
        optimizer.step()
        schedule.step()


def _losses(
    reader: Any, way: Way, scenes: EncodedScenes, images: Sequence[int], generator: torch.Generator
) -> dict[str, Tensor]:
    chosen = sample_regions([len(scenes.boxes[image]) for image in images], way.most, generator)
    pairs = list(zip(images, chosen, strict=True))
    grid = scenes.tokens[list(images)].float().movedim(-1, 1)
    boxes = [scenes.boxes[image][rows] for image, rows in pairs]
    vectors = [scenes.vectors[scenes.texts[image][rows]] for image, rows in pairs]
    counts = torch.tensor([len(rows) for rows in chosen])
    there = torch.arange(int(counts.max())) < counts[:, None]
    if way.reader == "mask":
        hints = reader.masks(grid, padded([scenes.coverage[image][rows] for image, rows in pairs]))
    else:
        hints = reader.boxes(padded(boxes))
    grounded = way.reader == "prompter" and way.grounding > 0
    if grounded:
        hints = torch.cat([hints, reader.texts(padded(vectors))], dim=1)
    regions, *located = reader(grid, hints).split(there.shape[1], dim=1)
    found = reader.box_head(located[0][there]) if grounded else None
    scale = reader.logit_scale.exp().clamp(max=100)
    told = torch.ones(len(boxes), dtype=torch.bool)
    return cloc_losses(regions[there], torch.cat(vectors), scale, found, torch.cat(boxes), told, way.threshold)


def _groups(reader: nn.Module) -> list[dict[str, Any]]:
    """Matrices are decayed, the rest is not."""
    matrices = [weight for weight in reader.parameters() if weight.ndim > 1]
    rest = [weight for weight in reader.parameters() if weight.ndim < 2]
    return [{"params": matrices, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}]


def _rate(step: int, steps: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) * (1 + math.cos(math.pi * step / steps)) / 2
