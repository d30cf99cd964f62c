"""Pixels of classes that were taught with masks: things in colours that no model was shown, and streets.

**Scenes in new colours.** Eight masks of each ground and of each pair of a new colour and a shape are drawn by seed
from training scenes; held-out scenes are measured, by the words alone and by what was taught.

**Streets** (with ``data``): each of the pictures of a folder in the layout of Cityscapes teaches, and the next one
tests. The rule: mean intersection over union of those of the 19 classes that the *test* picture's truth holds; a class
that the other picture does not show cannot be taught and counts as zero. Every choice is made within the picture that
teaches. The rows before the last are fixed: one shrinkage, no other lights, and maps as they are.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.api.loading import load
from densevl.classifiers.contracts import Classifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.images import read_image
from densevl.core.labelmap import IGNORED
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.converters.cityscapes import cityscapes_tasks
from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import NEW_CLASSES, Scene
from densevl.datasets.scenes.shifts import shifted_scene
from densevl.dense.stack import FEATURES, FeatureStack
from densevl.encoders.contracts import Encoder
from densevl.metrics.confusion import confusion_matrix, scores_of
from densevl.metrics.table import Spread, Table
from densevl.tasks.segmentation.contracts import LabelMaker
from densevl.tasks.segmentation.stacked import segmentor_of_space
from densevl.tasks.teaching.candidates import candidate_stacks
from densevl.tasks.teaching.masked_cells import MaskedImage
from densevl.tasks.teaching.pixels import teach_pixels

__all__ = ["Street", "StreetFigures", "draw_masks", "measure_street", "streets", "teach_pixels_table"]

MASKS, SEEDS = 8, (0, 1, 2)
TRAINING, HELD_OUT_SCENES = 310, 311
"""Collections of scenes: what masks are drawn from, and what is measured."""

ENOUGH = 250
"""Training scenes to draw masks from."""

RAW_SHRINKAGE = 0.1

ROWS: Mapping[str, Mapping[str, Sequence[FeatureStack] | None]] = {
    "mini": {
        "last layer": [FeatureStack((FEATURES,), 8, 512)],
        "last layer, windows": [FeatureStack((FEATURES,), 8, 512, window=128, window_stride=96)],
        "ours": None,
    },
    "photo": {
        "last map": [FeatureStack(("blocks.15",), 32, 512)],
        "three maps": [FeatureStack(("blocks.4", "blocks.10", "blocks.15"), 8, 512)],
        "ours": None,
    },
}
"""Stacks by model and row; None for a choice among all of the model, which the picture that teaches makes."""

TIMED = 3


@dataclass(frozen=True, eq=False)
class Street:
    """A picture and its truth.

    Attributes:
        image: RGB.
        truth: class of each pixel, 255 where it has none.
    """

    image: UInt8[np.ndarray, "H W 3"]
    truth: UInt8[np.ndarray, "H W"]

    @property
    def present(self) -> list[int]:
        """The classes that it shows."""
        return [label for label in np.unique(self.truth).tolist() if label != IGNORED]


def teach_pixels_table(scenes: int, data: Path | None = None) -> Table:
    """Measure the tables.

    Args:
        scenes: number of held-out scenes.
        data: folder in the layout of Cityscapes with at least two pictures; None for scenes alone.

    Raises:
        UsageError: where the folder holds fewer.
    """
    pictures = [] if data is None else streets(data)
    return _scenes_table(scenes, () if data is None else (_streets_table(pictures),))


def streets(data: Path) -> list[Street]:
    """The pictures of a folder in the layout of Cityscapes, by name.

    Raises:
        UsageError: where there are fewer than two.
        ImageError: where one cannot be read.
    """
    found = []
    for task in cityscapes_tasks(data):
        place = task.target.relative_to(data / "gtFine")
        name = task.target.name.replace("_gtFine_labelTrainIds.png", "_leftImg8bit.png")
        found.append(Street(read_image(data / "leftImg8bit" / place.with_name(name)), task.make()))
    if len(found) < 2:
        raise UsageError(f"one picture teaches and another one tests; {data} holds {len(found)}")
    return found


def draw_masks(scenes: Sequence[Scene], count: int, seed: int) -> list[MaskedImage]:
    """Scenes with the masks of so many things or grounds of each class, in the order of chance that the seed gives.

    Args:
        scenes: in new colours.
        count: masks of each class; a class that is shown less often gives all.
        seed: of the order of the scenes.
    """
    left = dict.fromkeys(range(len(NEW_CLASSES)), count)
    found = []
    for place in torch.randperm(len(scenes), generator=torch.Generator().manual_seed(seed)).tolist():
        scene, masks, labels = scenes[place], [], []
        for label, mask in _things(scene):
            if left[label] > 0:
                left[label] -= 1
                masks.append(mask)
                labels.append(label)
        if masks:
            found.append(MaskedImage(scene.image, torch.from_numpy(np.stack(masks)), torch.tensor(labels)))
    return found


def _things(scene: Scene) -> list[tuple[int, np.ndarray]]:
    """Class and mask of each object and of each ground of a scene."""
    things = [(NEW_CLASSES.index(item.name), scene.instances == i + 1) for i, item in enumerate(scene.objects)]
    grounds = [(label, scene.labels == label) for label in map(NEW_CLASSES.index, scene.grounds)]
    return [(label, mask) for label, mask in (*things, *grounds) if mask.any()]


def _scenes_table(count: int, further: Sequence[Table]) -> Table:
    model = load("mini", device="cpu", lazy=True)
    held_out = [shifted_scene("new colours", HELD_OUT_SCENES, index) for index in range(count)]
    training = [shifted_scene("new colours", TRAINING, index, split="train") for index in range(ENOUGH)]
    vocabulary = Vocabulary.of([[name] for name in NEW_CLASSES])
    text = _on_scenes(model.segmentor, model.embed_classes(vocabulary), held_out)
    encoder, taught = model.segmentor.encoder, []
    stack = candidate_stacks(encoder)[0]
    for seed in tqdm(SEEDS, desc="seeds", disable=None):
        head, _ = teach_pixels(encoder, draw_masks(training, MASKS, seed), vocabulary, [stack])
        taught.append(_on_scenes(segmentor_of_space(encoder, head.classifier.space), head.classifier, held_out))
    rows: list[tuple[str, Sequence[float | Spread]]] = [
        ("words", text),
        (f"{MASKS} masks a class", [Spread(values) for values in zip(*taught, strict=True)]),
    ]
    new = len(NEW_CLASSES) - len(GROUNDS)
    note = (
        f"{count} held-out scenes in colours that no model was shown; {len(NEW_CLASSES)} classes, {new} of them in new "
        f"colours; `mini`; mean ± standard deviation of seeds {', '.join(map(str, SEEDS))}; the stack of the "
        f"scenes' own size, {stack.short_side} px."
    )
    return Table(("mIoU, scenes", "things in new colours", "all classes"), rows, note, further)


def _on_scenes(
    segmentor: LabelMaker, classes: TextEmbeddings | Classifier, scenes: Sequence[Scene]
) -> tuple[float, float]:
    """Mean IoU of the things in new colours and of all classes, in percent."""
    matrix = torch.zeros(len(NEW_CLASSES), len(NEW_CLASSES), dtype=torch.long)
    for scene in tqdm(scenes, desc="scenes", disable=None, leave=False):
        labels, _ = segmentor.label(segmentor.encode([scene.image])[0], classes)
        matrix += confusion_matrix(torch.from_numpy(scene.labels).long(), labels.cpu(), len(NEW_CLASSES))
    scores = scores_of(matrix, NEW_CLASSES)
    new = torch.arange(len(NEW_CLASSES)) >= len(GROUNDS)
    there = scores.pixels > 0
    return float(scores.iou[there & new].mean()), float(scores.iou[there].mean())


def _streets_table(pictures: Sequence[Street]) -> Table:
    names, rows, chosen = Vocabulary.load("cityscapes").names, [], []
    for model, stacks in ROWS.items():
        encoder = load(model, device="cpu", lazy=True).segmentor.encoder
        for name, candidates in stacks.items():
            measured = [
                measure_street(encoder, teaching, tested, names, candidates)
                for teaching, tested in zip(pictures, [*pictures[1:], pictures[0]], strict=True)
            ]
            figures = [*(one.miou for one in measured), *(one.right for one in measured)]
            rows.append((f"`{model}`, {name}", [*figures, max(one.milliseconds for one in measured)]))
            chosen += [f"{model}: {one.chosen}" for one in measured if candidates is None]
    pairs = [f"{place + 1} → {(place + 1) % len(pictures) + 1}" for place in range(len(pictures))]
    head = ("taught → tested", *(f"mIoU {pair}" for pair in pairs), *(f"pixels {pair}" for pair in pairs), "ms")
    taught = [f"{len(one.present)} classes in {place + 1}" for place, one in enumerate(pictures)]
    note = (
        "Cityscapes; mean over the classes in the truth of the tested picture, those that the other one does not show "
        f"counting as zero; {', '.join(taught)}; chosen: {'; '.join(chosen)}; milliseconds of "
        f"processor time, summed over cores, to encode and label a picture of {pictures[0].image.shape[1]}×"
        f"{pictures[0].image.shape[0]} pixels, median of {TIMED}."
    )
    return Table(head, rows, note)


@dataclass(frozen=True)
class StreetFigures:
    """What was measured on a picture.

    Attributes:
        miou: mean over the classes that its truth holds, in percent.
        right: part of its pixels that is right, in percent.
        milliseconds: of processor time, summed over cores, to encode and to label it.
        chosen: short side and settings.
    """

    miou: float
    right: float
    milliseconds: float
    chosen: str


def measure_street(
    encoder: Encoder, teaching: Street, tested: Street, names: Sequence[str], stacks: Sequence[FeatureStack] | None
) -> StreetFigures:
    """Teach on one picture and test on another.

    Args:
        encoder: whose maps are stacked.
        teaching: the picture that teaches, and that chooses.
        tested: the picture that is measured.
        names: of all classes.
        stacks: one that is fixed, with no other lights; None for a choice among all.
    """
    present = teaching.present
    masks = torch.stack([torch.from_numpy(teaching.truth == label) for label in present])
    vocabulary = Vocabulary.of([[names[label]] for label in present])
    image = MaskedImage(teaching.image, masks, torch.arange(len(present)))
    if stacks is None:
        head, _ = teach_pixels(encoder, [image], vocabulary)
    else:
        head, _ = teach_pixels(encoder, [image], vocabulary, stacks, [RAW_SHRINKAGE], [False])
    segmentor = segmentor_of_space(encoder, head.classifier.space)
    seconds, labels = [], torch.zeros(0)
    for _ in range(TIMED):
        start = time.process_time()
        labels, _ = segmentor.label(segmentor.encode([tested.image])[0], head.classifier)
        seconds.append(time.process_time() - start)
    given = torch.tensor(present)[labels.cpu()]
    scores = scores_of(confusion_matrix(torch.from_numpy(tested.truth).long(), given, len(names)), names)
    lights = ", other lights" if head.facts["settings"]["lights"] else ""
    chosen = f"{segmentor.short_side} px, shrinkage {head.facts['settings']['shrinkage']:g}{lights}"
    miou = float(scores.iou[scores.pixels > 0].mean())
    return StreetFigures(miou, scores.pixel_accuracy, 1000 * median(seconds), chosen)
