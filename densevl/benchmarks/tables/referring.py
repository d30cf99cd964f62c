"""Visual prompts that the mini CLIP can read: referring expressions on held-out scenes.

The visual prompts are those of FGVP (Yang et al., NeurIPS 2023), with its two steps behind the scores: S subtracts the
mean score of captions that have nothing to do with the image, here of scenes, and R takes
relations and superlatives apart as ReCLIP does (Subramanian et al., ACL 2022). The regions of an image are marked and
encoded once for all its expressions, and every figure is what the ``Grounder`` answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.core.errors import UsageError
from densevl.core.geometry import box_ious
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.datasets.referring.scenes import ReferringScenes
from densevl.encoders.texts.cache import TextCache
from densevl.metrics.table import Table, mean_percent
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.grounding.grounder import Grounder
from densevl.tasks.grounding.grounding import EncodedRegions

__all__ = ["PROMPTS", "STEPS", "Accuracy", "measure_protocol", "referring_table"]

PROMPTS: Mapping[str, tuple[str, ...]] = {
    "crop": ("crop",),
    "circle": ("circle",),
    "box": ("box",),
    "contour": ("contour",),
    "mask": ("mask",),
    "grayscale_mask": ("grayscale_mask",),
    "blur_mask (blur reverse mask)": ("blur_mask",),
    "crop + blur_mask": ("crop", "blur_mask"),
}
"""The rows: visual prompts whose cosines are added up."""

STEPS: Mapping[str, tuple[bool, bool]] = {
    "": (False, False),
    "S": (True, False),
    "R": (False, True),
    "RS": (True, True),
}
"""The columns of a protocol: whether negative captions are subtracted, and whether relations are taken apart."""

RIGHT = 0.5
BEST = "crop + blur_mask"


@dataclass(frozen=True)
class _RememberedTexts(TextCache):
    """Text embeddings in memory: every row needs those of the same expressions."""

    kept: dict[Path, dict[str, Tensor]] = field(default_factory=dict)

    def read(self, path: Path) -> dict[str, Float32[Tensor, " d"]]:
        return self.kept.setdefault(path, {})

    def add(self, path: Path, embeddings: Mapping[str, Float32[Tensor, " d"]]) -> None:
        self.kept.setdefault(path, {}).update(embeddings)


@dataclass
class Accuracy:
    """Right and wrong answers with one kind of proposals.

    Attributes:
        hits: by row and column, whether the first region was right, one for each expression.
        kinds: of the expressions.
        by_chance: fraction of the proposals that would have been right, one for each expression.
        possible: whether any of them would have been.
        proposals: number of proposals of each image.
    """

    hits: dict[tuple[str, str], list[bool]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    by_chance: list[float] = field(default_factory=list)
    possible: list[bool] = field(default_factory=list)
    proposals: list[int] = field(default_factory=list)

    def percent(self, prompts: str, step: str) -> float:
        """Acc@0.5 of a row and a column."""
        return mean_percent(self.hits[prompts, step])

    def of_kinds(self, prompts: str, step: str) -> dict[str, float]:
        """Acc@0.5 of each kind of expression."""
        pairs = list(zip(self.kinds, self.hits[prompts, step], strict=True))
        return {kind: mean_percent([hit for k, hit in pairs if k == kind]) for kind in dict.fromkeys(self.kinds)}


def referring_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes, those of ``configs/fgvp_scenes.py``; 100 have about 550 expressions.
    """
    mini = load("mini", device="cpu", lazy=True).grounder
    names = tuple(dict.fromkeys(name for some in PROMPTS.values() for name in some))
    embedder, maker = MarkedImages(mini.embedders[0].encoder, names), mini.mask_maker
    dataset = ReferringScenes(length=scenes)
    protocols = {"true": "true boxes", **({"everything": maker.name} if _proposes(maker, dataset) else {})}
    found = {name: measure_protocol(dataset, embedder, maker, name) for name in protocols}
    columns = [(name, step) for name in protocols for step in STEPS]
    figures = [(prompts, [found[name].percent(prompts, step) for name, step in columns]) for prompts in PROMPTS]
    figures.append(("chance", [mean_percent(found[name].by_chance) for name, _ in columns]))
    figures.append(("any proposal is right", [mean_percent(found[name].possible) for name, _ in columns]))
    head = ("Acc@0.5", *(f"{protocols[name]}{' + ' if step else ''}{step}" for name, step in columns))
    return Table(head, figures, _note(found, dataset, embedder, maker, scenes))


def measure_protocol(dataset: ReferringScenes, embedder: MarkedImages, maker: MaskMaker, proposals: str) -> Accuracy:
    """The answers of every row and column to the expressions of every image.

    Args:
        dataset: the scenes.
        embedder: marks regions with all visual prompts of the rows.
        maker: masks of the true boxes, and proposals.
        proposals: ``"true"`` or ``"everything"``.
    """
    embedder.encoder.text_cache = _RememberedTexts()
    grounders = {
        step: load("mini", device="cpu", lazy=True, embedders=[embedder], subtract=subtract, relations=related).grounder
        for step, (subtract, related) in STEPS.items()
    }
    found = Accuracy({(prompts, step): [] for prompts in PROMPTS for step in STEPS})
    for index in tqdm(range(len(dataset)), desc=f"proposals: {proposals}", disable=None):
        image, pixels = dataset.images[index], dataset.picture(index)
        regions = _proposed(pixels, image.candidates["true"], maker, proposals)
        expressions = [(text, ref) for ref in image.refs for text in ref.sentences]
        right = [box_ious(regions.boxes.numpy(), ref.box) > RIGHT for _, ref in expressions]
        found.kinds += [ref.kind for _, ref in expressions]
        found.by_chance += [float(hits.mean()) if len(hits) else 0.0 for hits in right]
        found.possible += [bool(hits.any()) for hits in right]
        found.proposals.append(len(regions))
        first = _first_regions(pixels, regions, embedder, grounders, [text for text, _ in expressions])
        for key, chosen in first.items():
            found.hits[key] += [
                place is not None and bool(hits[place]) for place, hits in zip(chosen, right, strict=True)
            ]
    return found


def _proposes(maker: MaskMaker, dataset: ReferringScenes) -> bool:
    """True where the mask maker knows more than boxes: GrabCut does not."""
    try:
        maker.everything(dataset.picture(0))
    except UsageError:
        return False
    return True


def _proposed(image: np.ndarray, boxes: Sequence[Any], maker: MaskMaker, proposals: str) -> Regions:
    prepared = maker.encode(image)
    if proposals == "everything":
        return maker.everything(prepared)
    regions = Regions.from_boxes(boxes, image.shape[:2])
    return regions.with_masks(maker.from_boxes(prepared, regions.boxes))


@torch.inference_mode()
def _first_regions(
    image: np.ndarray,
    regions: Regions,
    embedder: MarkedImages,
    grounders: Mapping[str, Grounder],
    texts: Sequence[str],
) -> dict[tuple[str, str], list[int | None]]:
    """The first region for each expression, by row and column; None where there is no region."""
    if len(regions) == 0:
        return {(prompts, step): [None] * len(texts) for prompts in PROMPTS for step in STEPS}
    marked = embedder.embed(image, regions)
    first: dict[tuple[str, str], list[int | None]] = {}
    for prompts, names in PROMPTS.items():
        chosen = RegionEmbeddings.of_parts({name: marked.parts[name] for name in names}, marked.model_id)
        encoded = EncodedRegions(regions, (chosen,), "given", image)
        for step, grounder in grounders.items():
            first[prompts, step] = [int(grounding.ranking[0]) for grounding in grounder.refer(encoded, texts)]
    return first


def _note(
    found: Mapping[str, Accuracy], dataset: ReferringScenes, embedder: MarkedImages, maker: MaskMaker, scenes: int
) -> str:
    true = found["true"]
    kinds = ", ".join(f"{kind} {value:.1f}" for kind, value in true.of_kinds(BEST, "R").items())
    counts = ", ".join(f"{name} {np.mean(one.proposals):.1f} an image" for name, one in found.items())
    return (
        f"{len(true.kinds)} expressions of {len(dataset)} held-out scenes ({scenes} of seed 1 drawn), "
        f"{embedder.encoder.model_id}, masks by {maker.name} also for true boxes; right above IoU {RIGHT}. "
        f"Proposals: {counts}. S: the mean score of negative captions of scenes is subtracted; R: relations and "
        f"superlatives are taken apart. {BEST} + R with true boxes by kind: {kinds}."
    )
