"""Vectors of the objects of shifted scenes, each scene encoded once and then kept in the cache."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from densevl.api.model import Model
from densevl.core.files import atomic_write
from densevl.core.regions import Regions
from densevl.core.tensor_bytes import tensor_bytes
from densevl.datasets.scenes import Scene
from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import CLASSES, NEW_CLASSES
from densevl.datasets.scenes.shifts import shifted_scene
from densevl.weights import cache_dir

__all__ = ["ShiftedRegions", "shifted_regions"]

SIZE, TOGETHER = 128, 8
"""Side of the scenes in pixels; scenes that are encoded at once."""


@dataclass(frozen=True, eq=False)
class ShiftedRegions:
    """Objects of scenes, by their true masks.

    Attributes:
        vectors: unit vectors.
        labels: index in ``names`` of the colour and shape of each.
        scenes: index of the scene of each.
        names: of the classes.
    """

    vectors: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    scenes: Int[Tensor, " n"]
    names: Sequence[str]


def shifted_regions(model: Model, shift: str, seed: int, scenes: int) -> ShiftedRegions:
    """The objects of the first scenes of a collection; all pairs of colours and shapes occur.

    Args:
        model: its region embedder makes the vectors.
        shift: one of :data:`densevl.datasets.scenes.shifts.SHIFTS`.
        seed: number of the collection.
        scenes: number of its scenes.
    """
    names = (NEW_CLASSES if shift == "new colours" else CLASSES)[len(GROUNDS) :]
    file = _file(model, shift, seed, scenes)
    try:
        kept = load_file(file)
    except (OSError, SafetensorError):  # none yet, or a damaged one
        kept = _encoded(model, shift, seed, scenes, names)
        with atomic_write(file) as temporary:
            temporary.write_bytes(tensor_bytes(kept, {}))
    return ShiftedRegions(kept["vectors"], kept["labels"], kept["scenes"], names)


def _file(model: Model, shift: str, seed: int, scenes: int) -> Path:
    settings = repr(model.embedder.protocol)
    drawn = [shifted_scene(shift, seed, index, SIZE).image for index in range(2)]  # another drawing is another file
    digest = zlib.crc32(b"".join([settings.encode(), *(image.tobytes() for image in drawn)]))
    return cache_dir() / "tables" / f"{shift.replace(' ', '-')}-{seed}-{scenes}-{digest:08x}.safetensors"


def _encoded(model: Model, shift: str, seed: int, scenes: int, names: Sequence[str]) -> dict[str, Tensor]:
    vectors, labels, owners = [], [], []
    for start in tqdm(range(0, scenes, TOGETHER), desc=f"{shift}, scenes {seed}", disable=None):
        drawn = {
            index: shifted_scene(shift, seed, index, SIZE) for index in range(start, min(start + TOGETHER, scenes))
        }
        drawn = {index: scene for index, scene in drawn.items() if scene.objects}
        regions = [_true_regions(scene) for scene in drawn.values()]
        vectors += [found.vectors for found in model.embed([scene.image for scene in drawn.values()], regions)]
        for index, scene in drawn.items():
            labels += [names.index(item.name) for item in scene.objects]
            owners += [index] * len(scene.objects)
    return {"vectors": torch.cat(vectors).float(), "labels": torch.tensor(labels), "scenes": torch.tensor(owners)}


def _true_regions(scene: Scene) -> Regions:
    masks = torch.from_numpy(np.stack([item.mask for item in scene.objects]))
    return Regions(torch.tensor([item.box for item in scene.objects]).float(), (SIZE, SIZE), masks)
