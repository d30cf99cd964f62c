"""Examples as files: the objects of shifted scenes with their boxes, drawn once and then kept in the cache."""

from collections.abc import Sequence

import torch
from tqdm import tqdm

from densevl.benchmarks.tables.teach import draw_shots
from densevl.core.drawing.overlay import write_image
from densevl.datasets.examples import Example
from densevl.datasets.scenes.shifts import shifted_scene
from densevl.weights import cache_dir

__all__ = ["of_names", "shifted_examples", "shots_of"]

SIZE = 128
"""Side of the scenes in pixels."""


def shifted_examples(shift: str, seed: int, scenes: int) -> list[Example]:
    """The objects of the first scenes of a collection, each with its box; all pairs of colours and shapes occur.

    Args:
        shift: one of :data:`densevl.datasets.scenes.shifts.SHIFTS`.
        seed: number of the collection.
        scenes: number of its scenes.
    """
    folder = cache_dir() / "tables" / f"examples-{shift.replace(' ', '-')}-{seed}"
    found = []
    for index in tqdm(range(scenes), desc=f"{shift}, scenes {seed}", delay=2, leave=False, disable=None):
        scene, path = shifted_scene(shift, seed, index, SIZE), folder / f"{index}.png"
        if not path.is_file():
            write_image(path, scene.image)
        found += [Example(path, item.name, str(path), item.box) for item in scene.objects]
    return found


def of_names(examples: Sequence[Example], names: Sequence[str]) -> list[Example]:
    """The examples of some classes alone."""
    wanted = set(names)
    return [example for example in examples if example.name in wanted]


def shots_of(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """So many examples of each class, drawn by seed; those of a smaller count are among them."""
    names = sorted({example.name for example in examples})
    labels = torch.tensor([names.index(example.name) for example in examples])
    return [examples[place] for place in draw_shots(labels, count, seed).tolist()]
