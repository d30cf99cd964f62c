"""Two kinds of small images that a tiny CLIP can be tuned to tell apart."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("red", "blue")


def two_colours(folder: Path, count: int = 6) -> list[Path]:
    """Noisy images of 24 pixels, red ones and blue ones in turn."""
    rng, found = np.random.default_rng(4), []
    for number in range(count):
        pixels = rng.integers(0, 120, (24, 24, 3))
        pixels[..., 0 if number % 2 == 0 else 2] += 120
        found.append(folder / f"{NAMES[number % 2]}{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(found[-1])
    return found


def shown_colours(folder: Path, count: int = 6) -> tuple[list[Any], list[int]]:
    """These images as tuning takes them, each whole, and their labels."""
    from densevl.core.regions import Regions
    from densevl.training.tuning.looks import Shown

    images = two_colours(folder, count)
    return [Shown(path, Regions.whole((24, 24)), [n]) for n, path in enumerate(images)], [n % 2 for n in range(count)]


def tuned_colours(folder: Path, seed: int = 0, **changes: Any) -> Any:
    """A tiny CLIP that has turned to the two colours, with settings of ten small steps and changes of them."""
    from toys.clip import tiny_clip

    from densevl.regions.embedders.marked_images import MarkedImages
    from densevl.training.tuning.looks import clip_of, looks_of
    from densevl.training.tuning.methods import Settings
    from densevl.training.tuning.model import Task, TunedCLIP

    usual = {"tunables": ({"type": "singular-values"},), "optimizer": {"type": "AdamW", "lr": 0.01}, "steps": 10}
    settings = Settings(**{**usual, "batch": 4, **changes})
    embedder = MarkedImages(tiny_clip().eval(), ["crop"])
    model = TunedCLIP(clip_of(embedder), settings, seed=seed)
    shown, labels = shown_colours(folder)
    tuned = "image" in model.tuned_towers
    model.turn_to(Task(looks_of(embedder, shown, tuned, settings.crop, settings.flip, settings.views), labels, NAMES))
    return model
