"""Referring expressions of scenes, which densevl draws itself: nothing to download."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.registry import DATASETS
from tqdm import tqdm

from densevl.core.errors import UsageError, suggestion
from densevl.core.geometry import Box
from densevl.core.masks import encode_masks
from densevl.datasets.referring.annotations import Reference, ReferredImage
from densevl.datasets.referring.datasets import PROPOSALS, ReferringImages
from densevl.datasets.scenes import Expression, Scene, expressions, render
from densevl.datasets.scenes.language import nearness

__all__ = ["LANGUAGES", "ReferringScenes", "drawn_expressions"]

LANGUAGES: Mapping[str, Callable[[Scene], tuple[Expression, ...]]] = {"expressions": expressions, "nearness": nearness}
"""What is said of scenes, by name."""


@DATASETS.register_module()
class ReferringScenes(ReferringImages):
    """Held-out scenes and expressions that are true of just one object of theirs.

    Scores are also given by the kind of expression: attribute, ground, extreme, relation. Scenes without an expression
    are left out and counted.

    Args:
        seed: number of the collection.
        length: number of scenes.
        size: side of the square images.
        proposals: ``true``, ``everything`` or ``detector``; see :data:`PROPOSALS`.
        per_kind: at most so many expressions of each kind in a scene; None for all, of which most are relations.
        indices: use the first so many scenes only.
        language: what is said: ``expressions`` or ``nearness``; see :data:`LANGUAGES`.

    Raises:
        UsageError: where such proposals are not to be had, or the language is unknown.
    """

    def __init__(
        self,
        seed: int = 1,
        length: int = 200,
        size: int = 128,
        proposals: str = "true",
        per_kind: int | None = 2,
        indices: int | None = None,
        language: str = "expressions",
    ) -> None:
        known = [name for name in PROPOSALS if name != "detections"]
        if proposals not in known:
            raise UsageError(
                f"proposals {proposals!r} are not to be had of scenes; {suggestion(str(proposals), known)}"
            )
        if language not in LANGUAGES:
            raise UsageError(f"language {language!r} is unknown; {suggestion(str(language), LANGUAGES)}")
        self.title, self.source = f"scenes, {language}", "drawn while needed"
        count = length if indices is None else min(indices, length)
        self._pictures, images = [], []
        for index in tqdm(range(count), desc="scenes", disable=None):
            scene = render(seed, index, size=size, split="val")
            image = _referred(scene, index, drawn_expressions(scene, per_kind, (seed, index), language))
            if image.refs:
                images.append(image)
                self._pictures.append(scene.image)
        self._setup(images, proposals)
        self.protocol = {**self.protocol, "scenes": f"{count} of seed {seed}, {count - len(images)} had no expression"}
        if count < length:
            self.caveats = [f"{count} of {length} scenes: not comparable with the figures of all"]

    def picture(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """The image of a sample."""
        return self._pictures[index]


def drawn_expressions(
    scene: Scene, per_kind: int | None, seed: Sequence[int], language: str = "expressions"
) -> list[Expression]:
    """The expressions of a scene, at most so many of each kind, in the order of the grammar; the seed chooses which."""
    found = LANGUAGES[language](scene)
    if per_kind is None:
        return list(found)
    places: dict[str, list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(found)).tolist():
        places.setdefault(found[place].kind, []).append(place)
    return [found[place] for place in sorted(p for kind in places.values() for p in kind[:per_kind])]


def _referred(scene: Scene, index: int, found: Sequence[Expression]) -> ReferredImage:
    """The scene with its objects' boxes and masks; expressions of one object and kind are one ref."""
    grouped: dict[tuple[int, str], list[str]] = {}
    for expression in found:
        grouped.setdefault((expression.target, expression.kind), []).append(expression.text)
    height, width = scene.labels.shape
    masks = np.stack([item.mask for item in scene.objects]) if scene.objects else np.zeros((0, height, width), bool)
    codes = encode_masks(torch.from_numpy(masks)) if scene.objects else []
    boxes: list[Box] = [
        (float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in (o.box for o in scene.objects)
    ]
    refs = tuple(
        Reference(f"{target} {kind}", target, boxes[target], tuple(texts), codes[target], kind)
        for (target, kind), texts in grouped.items()
    )
    return ReferredImage(index, f"{index:06d}.png", "val", (height, width), {"true": tuple(boxes)}, refs)
