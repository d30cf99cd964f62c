"""How often a model says that images are not of the kind it knows: on scenes that it should know, and on others.

    python -m densevl.benchmarks.familiarity mini photos/ screenshots/

False alarms are counted on held-out scenes by their size, also with noise and compression. The other images are drawn
(noise, one colour, stripes, text) or come from folders.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.core.files import expand_inputs
from densevl.core.images import read_image
from densevl.metrics.table import Table
from densevl.training.known_scenes import known_scene

__all__ = ["MADE", "alarm_rates"]

Picture = UInt8[np.ndarray, "_ _ 3"]

SEED = 22
"""Number of the collection of held-out scenes, which neither the fit nor its p-values have seen."""


def _compressed(image: Picture, quality: int) -> Picture:
    memory = BytesIO()
    Image.fromarray(image).save(memory, "JPEG", quality=quality)
    return np.asarray(Image.open(memory).convert("RGB"))


def _noisy(image: Picture, strength: int | float) -> Picture:
    noise = np.random.default_rng(0).normal(0, strength, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _blurred(image: Picture, radius: int | float) -> Picture:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


CHANGED: Mapping[str, Callable[[Picture], Picture]] = {
    "scenes as JPEG, quality 75": lambda image: _compressed(image, 75),
    "scenes as JPEG, quality 30": lambda image: _compressed(image, 30),
    "scenes with noise of 10 of 255": lambda image: _noisy(image, 10),
    "scenes blurred by 1 pixel": lambda image: _blurred(image, 1),
    "scenes in grey": lambda image: np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, axis=2),
}
"""Scenes that were not drawn for the fit; how many are still known is a matter of taste."""


def _colour(rng: np.random.Generator) -> Picture:
    return np.full((256, 256, 3), rng.integers(0, 256, 3), np.uint8)


def _random(rng: np.random.Generator) -> Picture:
    return rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)


def _stripes(rng: np.random.Generator) -> Picture:
    wave = np.sin(np.arange(256) * rng.uniform(0.05, 0.8))[None, :, None] * np.ones((256, 1, 1))
    first, second = rng.integers(0, 256, (2, 3))
    return (first + (second - first) * (wave + 1) / 2).astype(np.uint8)


def _text(rng: np.random.Generator) -> Picture:
    page = Image.new("RGB", (320, 256), "white")
    pen = ImageDraw.Draw(page)
    for line in range(16):
        words = " ".join("".join(map(chr, rng.integers(97, 123, rng.integers(2, 9)))) for _ in range(8))
        pen.text((8, 8 + 15 * line), words, fill="black")
    return np.asarray(page)


def _plot(rng: np.random.Generator) -> Picture:
    page = Image.new("RGB", (320, 256), "white")
    pen = ImageDraw.Draw(page)
    pen.line([(30, 10), (30, 230), (310, 230)], fill="black")
    for colour in ("red", "blue", "green"):
        heights = 120 + np.cumsum(rng.normal(0, 8, 28))
        pen.line([(30 + 10 * x, float(y)) for x, y in enumerate(heights)], fill=colour, width=2)
    return np.asarray(page)


MADE: Mapping[str, Callable[[np.random.Generator], Picture]] = {
    "one colour": _colour,
    "random pixels": _random,
    "stripes": _stripes,
    "pages of text": _text,
    "line charts": _plot,
}
"""Images that are no scenes, drawn by a seed."""


def alarm_rates(model: Model, scenes: int, folders: Sequence[str | Path] = (), count: int = 20) -> Table:
    """The table: how many images of each kind the model takes for unknown, at its own level and at 1 %.

    Args:
        model: one that knows scenes.
        scenes: number of held-out scenes, of the sizes that :func:`known_scene` draws.
        folders: of images that are no scenes.
        count: of each kind of :data:`MADE`.

    Raises:
        UsageError: where the model does not say what it knows, or a folder holds no image.
    """
    drawn = [known_scene("val", SEED, index) for index in range(scenes)]
    every, sides = _p_values(model, "scenes", drawn), [min(image.shape[:2]) for image in drawn]
    found = {"scenes": every}
    for side in sorted(set(sides)):
        found[f"scenes of {side} px"] = [p for p, own in zip(every, sides, strict=True) if own == side]
    few = drawn[: max(1, scenes // 4)]
    found |= {name: _p_values(model, name, map(change, few)) for name, change in CHANGED.items()}
    for name, make in MADE.items():
        found[name] = _p_values(model, name, (make(np.random.default_rng(seed)) for seed in range(count)))
    for folder in folders:
        name, paths = f"folder {Path(folder).name}", [item.path for item in expand_inputs([folder])]
        found[name] = _p_values(model, name, map(read_image, paths))
    limits = (0.0 if model.known is None else model.known.level, 0.01, 0.1)
    rows = [
        (f"{name}, {len(p)}", [100 * float((np.array(p) <= limit).mean()) for limit in limits])
        for name, p in found.items()
    ]
    head = ("% of the images, and how many they are", f"unknown (p ≤ {100 * limits[0]:.2g} %)", "p ≤ 1 %", "p ≤ 10 %")
    return Table(head, rows, f"{model.name}; scenes of seed {SEED}, which neither the fit nor the held-out scores saw.")


def _p_values(model: Model, name: str, images: Iterable[Picture]) -> list[float]:
    return [model.familiarity(image) for image in tqdm(images, desc=name, leave=False, disable=None)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Count which images a model takes for unknown.")
    parser.add_argument("model", help="one that says what it knows, such as mini")
    parser.add_argument("folders", nargs="*", help="images that are no scenes")
    parser.add_argument("--scenes", type=int, default=210, help="held-out scenes (default: %(default)s)")
    args = parser.parse_args()
    print(alarm_rates(load(args.model, device="cpu"), args.scenes, args.folders))


if __name__ == "__main__":
    main()
