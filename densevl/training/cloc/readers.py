"""Readers of regions on a frozen CLIP, trained by one recipe on scenes that are encoded once.

A loop without MMEngine: same losses, optimizer, rates and batches as ``configs/cloc_train_scenes.py``, for two dozen
short trainings on the same tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from densevl.encoders.clip import CLIPEncoder
from densevl.regions.embedders.prompter import Prompter
from densevl.regions.embedders.prompter_start import start_at_box_pooling, start_at_pooling
from densevl.regions.embedders.roi_align import MaskReader, RoIAlignReader
from densevl.training.cloc.encoded_scenes import EncodedScenes
from densevl.training.cloc.hints import padded
from densevl.training.cloc.losses import ALIKE, cloc_losses, sample_regions

__all__ = ["KINDS", "Reader", "make_reader", "train_reader"]

KINDS = ("prompter", "roi-align", "mask")
BATCH, WARMUP = 32, 50
RATE, DECAY, LONGEST = 1e-3, 0.02, 1.0
SETTINGS: dict[str, Any] = {"pool": "hint", "corner_tokens": 1, "placed": True, "frequencies": 12, "gain": 0.25}
"""Of the prompter, as in ``configs/cloc_train_scenes.py``."""


@dataclass(frozen=True)
class Reader:
    """A reader of regions and what its training optimises.

    Attributes:
        name: what tables call it.
        kind: one of :data:`KINDS`.
        most: M, regions of an image in a step.
        threshold: of the text filter; None for none.
        grounding: factor of L_ground; the prompter alone can locate texts.
    """

    name: str
    kind: str = "prompter"
    most: int = 4
    threshold: float | None = ALIKE
    grounding: float = 1.0


def make_reader(kind: str, encoder: CLIPEncoder, seed: int) -> nn.Module:
    """A new module that starts at pooling of f', with the CLIP's own last normalisation and projection.

    Args:
        kind: one of :data:`KINDS`.
        encoder: the CLIP.
        seed: of what is drawn at random.
    """
    norm, weights = encoder.image.head()
    projection = weights.detach()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "prompter":
            prompter = Prompter(encoder.width, encoder.dim, **SETTINGS)
            start_at_box_pooling(prompter, norm, projection)
            return prompter
        module = (RoIAlignReader if kind == "roi-align" else MaskReader)(encoder.width, encoder.dim)
        start_at_pooling(module, norm, projection)
        return module


def train_reader(module: Any, reader: Reader, scenes: EncodedScenes, steps: int, seed: int) -> None:
    """Train a module on clean boxes, or on true masks where it reads masks.

    Args:
        module: of :func:`make_reader`; it is changed.
        reader: its kind, losses and sampling.
        scenes: what it is trained on.
        steps: of :data:`BATCH` images each; the rate rises over the first 50 and falls along a cosine.
        seed: of the order of images and the regions drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(_groups(module), lr=RATE, betas=(0.9, 0.98))
    warmup = min(WARMUP, steps // 4 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, warmup))
    for _ in tqdm(range(steps), desc=f"{reader.name}, seed {seed}", leave=False, disable=None):
        images = torch.randint(len(scenes), (BATCH,), generator=generator).tolist()
        losses = _losses(module, reader, scenes, images, generator)
        optimizer.zero_grad()
        (losses["loss_cloc"] + reader.grounding * losses.get("loss_ground", losses["loss_cloc"] * 0)).backward()
        nn.utils.clip_grad_norm_(module.parameters(), LONGEST)
        optimizer.step()
        schedule.step()


def _losses(
    module: Any, reader: Reader, scenes: EncodedScenes, images: Sequence[int], generator: torch.Generator
) -> dict[str, Tensor]:
    chosen = sample_regions([len(scenes.boxes[image]) for image in images], reader.most, generator)
    pairs, device = list(zip(images, chosen, strict=True)), module.logit_scale.device
    grid = scenes.tokens[list(images)].to(device).float().movedim(-1, 1)
    boxes = [scenes.boxes[image][rows].to(device) for image, rows in pairs]
    vectors = [scenes.vectors[scenes.texts[image][rows]].to(device) for image, rows in pairs]
    counts = torch.tensor([len(rows) for rows in chosen], device=device)
    there = torch.arange(int(counts.max()), device=device) < counts[:, None]
    if reader.kind == "mask":
        hints = module.masks(grid, padded([scenes.coverage[image][rows] for image, rows in pairs]).to(device))
    else:
        hints = module.boxes(padded(boxes))
    grounded = reader.kind == "prompter" and reader.grounding > 0
    if grounded:
        hints = torch.cat([hints, module.texts(padded(vectors))], dim=1)
    regions, *located = module(grid, hints).split(there.shape[1], dim=1)
    found = module.box_head(located[0][there]) if grounded else None
    scale = module.logit_scale.exp().clamp(max=100)
    described = torch.ones(len(boxes), dtype=torch.bool, device=device)
    return cloc_losses(regions[there], torch.cat(vectors), scale, found, torch.cat(boxes), described, reader.threshold)


def _groups(module: nn.Module) -> list[dict[str, Any]]:
    """Matrices are decayed, the rest is not."""
    matrices = [weight for weight in module.parameters() if weight.ndim > 1]
    rest = [weight for weight in module.parameters() if weight.ndim < 2]
    return [{"params": matrices, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}]


def _rate(step: int, steps: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) * (1 + math.cos(math.pi * step / steps)) / 2
