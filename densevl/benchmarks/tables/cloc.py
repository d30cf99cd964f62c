"""CLOC's central ablation on scenes: a prompter against RoIAlign, pooling and crops, under true and under noisy boxes.

Source of the question: Chen et al., CLOC, ICML 2025, https://arxiv.org/abs/2410.02746, where RoIAlign in the place of
the prompter loses 13 to 15 mAcc. Here the CLIP is the mini CLIP and stays frozen; every trained row reads the same
tokens f', starts at pooling of them, and is trained on true boxes (or true masks) by the same losses, steps and
batches. Noise is met at the test alone, in the same boxes for all rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from densevl.core.geometry import fit_square, mask_coverage
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.datasets.regions.noise import SCALED, SHIFTED, noisy_boxes
from densevl.datasets.scenes import CLASSES, GROUNDS, Scene, region_text, render
from densevl.datasets.scenes.training import SceneRegionTexts
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip
from densevl.metrics.choices import RecognitionScores, choose
from densevl.metrics.retrieval import RANKS, retrieval_recalls
from densevl.metrics.table import Spread, Table
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.training.cloc.encoded_scenes import EncodedScenes
from densevl.training.cloc.readers import BATCH, Reader, make_reader, train_reader

__all__ = ["READERS", "UNTRAINED", "HeldOut", "cloc_table", "figures_of"]

SIDE, SIZE = 192, 128
"""Side of the padded images, and of the scenes."""

TRAINING_SCENES, STEPS, SEEDS = 1000, 400, (0, 1, 2)

READERS = (
    Reader("prompter (M = 4)"),
    Reader("without the text filter", threshold=None),
    Reader("without grounding", grounding=0.0),
    Reader("M = 2", most=2),
    Reader("M = 1", most=1),
    Reader("RoIAlign in its place", "roi-align", grounding=0.0),
    Reader("mask pooling, masks of the mini SAM from the boxes", "mask", grounding=0.0),
)
"""The readers that are trained, once for each seed."""

UNTRAINED = "prompter before training (box pooling of f')"
COLUMNS = ("mAcc", *(f"{direction} R@{rank}" for direction in ("r2t", "t2r") for rank in RANKS))
NAMES = CLASSES[len(GROUNDS) :]

Boxes = Sequence[Float[Tensor, "_ 4"]]
Figures = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out scenes and two boxes of each object.

    Attributes:
        scenes: those of ``configs/cloc_regions_scenes.py`` that have objects.
        boxes: of the objects of each scene, in pixels, by ``"true"`` and ``"noisy"``.
        names: index of the class of each object of all scenes.
        texts: the different region texts.
        truths: index of the text of each object.
    """

    scenes: Sequence[Scene]
    boxes: dict[str, Boxes]
    names: Tensor
    texts: Sequence[str]
    truths: Tensor

    @staticmethod
    def of(count: int, seed: int = 1) -> "HeldOut":
        """The first scenes of a collection, and noise that is the same each time."""
        generator = torch.Generator().manual_seed(seed)
        drawn = (render(seed, index, SIZE, "val") for index in tqdm(range(count), desc="held-out scenes", disable=None))
        scenes = [scene for scene in drawn if scene.objects]
        true = [torch.tensor([item.box for item in scene.objects], dtype=torch.float32) for scene in scenes]
        objects = [item for scene in scenes for item in scene.objects]
        numbers: dict[str, int] = {}
        truths = torch.tensor([numbers.setdefault(region_text(item), len(numbers)) for item in objects])
        return HeldOut(
            scenes,
            {"true": true, "noisy": [noisy_boxes(some, (SIZE, SIZE), generator) for some in true]},
            torch.tensor([NAMES.index(item.name) for item in objects]),
            tuple(numbers),
            truths,
        )


def cloc_table(scenes: int, steps: int = STEPS, seeds: Sequence[int] = SEEDS) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes.
        steps: of each training; the training scenes are at most as many as a training sees.
        seeds: of the trainings.
    """
    encoder = build_clip("mini-clip", text_cache=False).eval()
    held_out, count = HeldOut.of(scenes), min(TRAINING_SCENES, BATCH * steps)
    names, texts = encoder.embed_texts(NAMES), encoder.embed_texts(held_out.texts)
    training = EncodedScenes.of(SceneRegionTexts(count, SIZE, seed=200, masks=True, side=SIDE), encoder)
    tokens = [
        encoder.tokens(fit_square(torch.from_numpy(scene.image).permute(2, 0, 1) / 255, SIDE)[None])
        for scene in tqdm(held_out.scenes, desc="held-out tokens", disable=None)
    ]
    coverage = _sam_coverage(held_out, encoder.patch_size)

    def measured(vectors_of: Callable[[str], Tensor]) -> dict[str, Figures]:
        return {kind: figures_of(vectors_of(kind), held_out, names, texts) for kind in held_out.boxes}

    found: dict[str, list[dict[str, Figures]]] = {}
    for reader in READERS:
        for seed in seeds:
            module = make_reader(reader.kind, encoder, seed)
            vectors_of = partial(_read, module, tokens, held_out, coverage if reader.kind == "mask" else None)
            if reader == READERS[0]:
                found.setdefault(UNTRAINED, []).append(measured(vectors_of))
            train_reader(module, reader, training, steps, seed)
            found.setdefault(reader.name, []).append(measured(vectors_of))
    untrained = {
        "MaskCLIP features, untrained": MaskPooling(encoder, short_side=SIDE),
        "crop, untrained": MarkedImages(encoder, ("crop",)),
    }
    for name, embedder in untrained.items():
        found[name] = [measured(partial(_embed, embedder, held_out))]
    lines = [
        (f"{kind} boxes: {name}", [Spread(values) for values in zip(*(one[kind] for one in found[name]), strict=True)])
        for kind in held_out.boxes
        for name in sorted(found, key=_order)
    ]
    return Table(("", *COLUMNS), lines, _note(held_out, training, encoder, steps, seeds))


def figures_of(
    vectors: Float[Tensor, "r d"], held_out: HeldOut, names: Float[Tensor, "k d"], texts: Float[Tensor, "q d"]
) -> Figures:
    """mAcc among the 64 names, then recall of retrieval among the region texts, as :data:`COLUMNS` says."""
    answers = choose(vectors @ names.mT, held_out.names.tolist())
    recalls = retrieval_recalls(vectors @ texts.mT, held_out.truths)
    return RecognitionScores(answers, NAMES, {}).mean_accuracy, *(recalls[name] for name in COLUMNS[1:])


@torch.no_grad()
def _read(module: Any, tokens: Sequence[Tensor], held_out: HeldOut, coverage: Any, kind: str) -> Tensor:
    """Vectors of all regions by a trained module, from boxes or from the coverage of patches by masks."""
    found = []
    for place, grid in enumerate(tokens):
        if coverage is None:
            hints = module.boxes(held_out.boxes[kind][place][None] / SIZE)
        else:
            hints = module.masks(grid, coverage[kind][place][None])
        found.append(module(grid, hints)[0])
    return torch.cat(found)


def _embed(embedder: Any, held_out: HeldOut, kind: str) -> Tensor:
    """Vectors of all regions by an embedder of the package."""
    pairs = zip(held_out.scenes, held_out.boxes[kind], strict=True)
    progress = tqdm(pairs, total=len(held_out.scenes), desc=f"{kind} boxes", leave=False, disable=None)
    return torch.cat([embedder.embed(scene.image, Regions(boxes, (SIZE, SIZE))).vectors for scene, boxes in progress])


def _sam_coverage(held_out: HeldOut, patch_size: int) -> dict[str, list[Tensor]]:
    """Coverage of each patch by the masks that the mini SAM makes from the boxes."""
    maker: MaskMaker = build(MASK_MAKERS, {"type": "sam", "weights": "mini-sam"})
    found: dict[str, list[Tensor]] = {kind: [] for kind in held_out.boxes}
    for place, scene in enumerate(tqdm(held_out.scenes, desc="masks", disable=None)):
        encoded = maker.encode(scene.image)
        for kind, boxes in held_out.boxes.items():
            masks = maker.from_boxes(encoded, boxes[place]).float()
            found[kind].append(mask_coverage(masks, SIDE, patch_size, (SIDE // patch_size, SIDE // patch_size)))
    return found


def _order(name: str) -> int:
    """Rows as they are read: before training, then the readers in their order, then what is not trained."""
    names = [reader.name for reader in READERS]
    return -1 if name == UNTRAINED else names.index(name) if name in names else len(names)


def _note(held_out: HeldOut, training: EncodedScenes, encoder: CLIPEncoder, steps: int, seeds: Sequence[int]) -> str:
    return (
        f"{len(held_out.truths)} regions of {len(held_out.scenes)} held-out scenes, {len(held_out.texts)} different "
        f"texts; {encoder.model_id}, frozen, {SIDE} px; {len(training)} training scenes, {steps} steps of {BATCH}; "
        f"mean ± standard deviation of seeds {', '.join(map(str, seeds))}. Noise: centres shifted by "
        f"N(0, {SHIFTED} · side), sides scaled by exp N(0, {SCALED})."
    )
