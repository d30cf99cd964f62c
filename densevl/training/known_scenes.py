"""What the mini models know: the statistics that tell drawn scenes from other images, fitted on scenes.

    python -m densevl.training.known_scenes densevl/data/mini/known.safetensors

Scenes of many sizes and ratios, encoded at many short sides, so that one file serves every model of the mini CLIP.
Those that are fitted are of the training split; those that are held out, for p-values, have all pairs of colour and
shape.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.familiarity import Familiarity
from densevl.core.geometry import resized_size
from densevl.core.images import resize_image, to_tensor
from densevl.datasets.scenes import render
from densevl.datasets.scenes.scene import Split
from densevl.dense.encoder import DenseEncoder

__all__ = ["halved", "known_scene", "known_scenes", "scene_summaries"]

SIDES, ASPECTS = (128, 160, 192, 256, 320, 384, 512), (1, 1, 4 / 3, 3 / 4, 1.5)
"""Short sides of the scenes in pixels, and their widths over heights."""

SHORT_SIDES, LONG_SIDE = (128, 160, 192, 224, 192, 224, 288), 512
"""Short sides at which they are encoded, and the longest side."""

FITTED: tuple[Split, int, int] = ("train", 0, 1200)
HELD_OUT: tuple[Split, int, int] = ("val", 21, 999)
"""Split, seed and number of the scenes that are fitted and of those that are scored."""


def known_scene(split: Split, seed: int, index: int) -> UInt8[np.ndarray, "H W 3"]:
    """A scene whose size and ratio go by its number."""
    side, aspect = SIDES[index % len(SIDES)], ASPECTS[index // len(SIDES) % len(ASPECTS)]
    size = (side, round(side * aspect)) if aspect >= 1 else (round(side / aspect), side)
    return render(seed, index, size, split).image


def scene_summaries(encoder: DenseEncoder, split: Split, seed: int, count: int) -> Float32[Tensor, "{count} c"]:
    """The summaries of scenes, each encoded at a short side that goes by its number."""
    found = []
    for index in tqdm(range(count), desc=f"{split} scenes", disable=None):
        image = known_scene(split, seed, index)
        short_side = SHORT_SIDES[index // (len(SIDES) * len(ASPECTS)) % len(SHORT_SIDES)]
        resized = resize_image(image, resized_size((image.shape[0], image.shape[1]), short_side, LONG_SIDE))
        found.append(encoder.summarise(to_tensor(resized)[None])[0])
    return torch.stack(found)


def known_scenes(fitted: Float32[Tensor, "n c"], held_out: Float32[Tensor, "m c"], model_id: str) -> Familiarity:
    """The test of drawn scenes in half precision; the held-out scores are those of the rounded numbers."""
    exact = Familiarity.fit(fitted, model_id, "drawn scenes")
    rounded = replace(exact, mean=halved(exact.mean), directions=halved(exact.directions))
    return replace(rounded, scores=rounded.score(held_out).float().sort().values)


def halved(values: Float32[Tensor, "*n"]) -> Float32[Tensor, "*n"]:
    """Numbers rounded to half precision."""
    return values.half().float()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit what tells drawn scenes from other images.")
    parser.add_argument("target", type=Path, help="file of the statistics, .safetensors")
    parser.add_argument("--encoder", default="mini-clip", help="its weights (default: %(default)s)")
    args = parser.parse_args()
    encoder = DenseEncoder({"type": "clip", "weights": args.encoder})
    fitted, held_out = (scene_summaries(encoder, *which) for which in (FITTED, HELD_OUT))
    known_scenes(fitted, held_out, encoder.encoder.model_id).save(args.target)


if __name__ == "__main__":
    main()
