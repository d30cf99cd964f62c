"""What encoders are compared by: label maps, names of regions, regions by text, expressions, pictures by captions.

Two collections give the same tasks: scenes, drawn anew by a seed, and photos of COCO. Each task is done by a model,
with the readers that it has, and gives a figure in percent.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from densevl.api.model import Model
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.tables.cloc import NAMES, HeldOut
from densevl.benchmarks.tables.dinoiser import Row, count
from densevl.benchmarks.tables.photo_masks import measure_photos, read_labelled_photos
from densevl.benchmarks.tables.photo_regions import meant_boxes
from densevl.benchmarks.tables.photos import Photo, known_names, read_photos, read_search_photos
from densevl.classifiers.text import region_probabilities
from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.core.geometry import box_ious
from densevl.core.images import read_image
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.datasets.referring.scenes import ReferringScenes
from densevl.datasets.scenes.language import caption
from densevl.encoders.texts.lexicon import lexicon
from densevl.metrics.choices import RecognitionScores, choose
from densevl.metrics.confusion import scores_of
from densevl.metrics.retrieval import retrieval_recalls
from densevl.metrics.table import mean_percent
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["PhotoTasks", "SceneTasks", "Tasks"]

RIGHT = 0.5
"""IoU above which a region is the one that is meant."""

AT_ONCE = 32
"""Pictures that are embedded together."""

Pixels = UInt8[np.ndarray, "H W 3"]


@runtime_checkable
class Tasks(Protocol):
    """A collection of pictures and what is asked of them."""

    about: str

    def label_maps(self, model: Model) -> float:
        """Mean IoU of the classes."""
        ...

    def names(self, model: Model) -> float:
        """Mean over the names of the part of their regions that are named right."""
        ...

    def regions(self, model: Model) -> float:
        """Part of the texts whose first region is right, among all regions of all pictures."""
        ...

    def expressions(self, model: Model) -> float:
        """Part of the expressions whose first region is right, among the boxes of a picture."""
        ...

    def captions(self, model: Model) -> tuple[float, float]:
        """Part of the pictures whose first caption is right, and of the captions whose first picture is."""
        ...

    def picture(self) -> Pixels:
        """One picture, to take the time of."""
        ...


class SceneTasks:
    """Held-out scenes of a seed.

    Args:
        scenes: how many are drawn.
        seed: of the collection.
    """

    def __init__(self, scenes: int, seed: int) -> None:
        self.dataset = ScenesDataset(seed=seed, length=scenes)
        self.held_out = HeldOut.of(scenes, seed)
        self.referring = ReferringScenes(seed=seed, length=scenes)
        self.about = f"{scenes} held-out scenes of 128 px"

    def label_maps(self, model: Model) -> float:
        """Mean IoU of all 70 classes."""
        (matrix,) = count([Row(model.name, _dense(model))], self.dataset)
        return scores_of(matrix, self.dataset.vocabulary.names).mean_iou

    def names(self, model: Model) -> float:
        """Names of the objects' boxes, of 64."""
        scores = _named(model, self._vectors(model), NAMES)
        return RecognitionScores(choose(scores, self.held_out.names.tolist()), NAMES, {}).mean_accuracy

    def regions(self, model: Model) -> float:
        """Boxes by all that is said of an object, such as "small red star on grass"."""
        texts = model.embed_texts(list(self.held_out.texts)).vectors
        return retrieval_recalls(_stacked(self._vectors(model)) @ texts.T, self.held_out.truths, (1,))["t2r R@1"]

    def expressions(self, model: Model) -> float:
        """Attributes, grounds, extremes and relations, among the boxes of the objects."""
        hits = []
        for place, image in enumerate(self.referring.images):
            asked = [(text, ref.box) for ref in image.refs for text in ref.sentences]
            hits += _meant(model, self.referring.picture(place), image.candidates["true"], asked)
        return mean_percent(hits)

    def captions(self, model: Model) -> tuple[float, float]:
        """One caption a scene; what is said of several scenes is one caption."""
        scenes = [self.dataset.scene(place) for place in range(len(self.dataset))]
        said = [caption(scene, np.random.default_rng([7, place])) for place, scene in enumerate(scenes)]
        return _captions(model, [scene.image for scene in scenes], [[text] for text in said])

    def picture(self) -> Pixels:
        """The first scene."""
        return self.dataset.scene(0).image

    def _vectors(self, model: Model) -> list[RegionEmbeddings]:
        boxes = [Regions(box, scene.labels.shape) for scene, box in self._boxes]
        return model.embed([scene.image for scene, _ in self._boxes], boxes)

    @cached_property
    def _boxes(self) -> list[tuple[Any, Tensor]]:
        return list(zip(self.held_out.scenes, self.held_out.boxes["true"], strict=True))


class PhotoTasks:
    """Photos of COCO on which no setting was chosen.

    Args:
        data: folder that holds ``coco/``, see :mod:`densevl.benchmarks.tables.photos`; captions are those of
            ``coco/annotations/captions_val2017.json``.

    Raises:
        UsageError: where a file is missing or of another format.
    """

    def __init__(self, data: Path) -> None:
        self.labelled = read_labelled_photos(data)[1::2]
        self.photos = [photo for photo in read_photos(data) if not photo.chosen_on]
        self.names_asked = known_names(self.photos[0].vocabulary if self.photos else (), lexicon())
        self.boxes = [
            (photo, [thing for thing in photo.large if thing.name in self.names_asked]) for photo in self.photos
        ]
        self.boxes = [(photo, things) for photo, things in self.boxes if things]
        self.said = _captions_of(data, [photo for photo in read_search_photos(data) if not photo.chosen_on])
        count = sum(len(things) for _, things in self.boxes)
        self.about = (
            f"photos of COCO on which no setting was chosen: {len(self.labelled)} with masks, {count} boxes, "
            f"{len(self.said)} photos with captions"
        )

    def label_maps(self, model: Model) -> float:
        """Mean IoU of the names that are asked, on each photo those that it shows."""
        names = tuple(sorted({name for photo in self.labelled for name in photo.names}))
        matrices, _ = measure_photos(_dense(model), self.labelled, names)
        scores = scores_of(matrices[0] + matrices[1], [*names, "none"])
        return scores.iou[:-1][scores.pixels[:-1] > 0].mean().item()

    def names(self, model: Model) -> float:
        """Names of boxes, of those that :func:`known_names` knows."""
        truths = [self.names_asked.index(thing.name) for _, things in self.boxes for thing in things]
        scores = _named(model, self._vectors(model), self.names_asked)
        return RecognitionScores(choose(scores, truths), self.names_asked, {}).mean_accuracy

    def regions(self, model: Model) -> float:
        """Boxes by name."""
        there = sorted({thing.name for _, things in self.boxes for thing in things})
        truths = torch.tensor([there.index(thing.name) for _, things in self.boxes for thing in things])
        texts = model.embed_texts(there).vectors
        return retrieval_recalls(_stacked(self._vectors(model)) @ texts.T, truths, (1,))["t2r R@1"]

    def expressions(self, model: Model) -> float:
        """ "the cat", "the left cup", among the large boxes of a photo."""
        hits = []
        for photo in self.photos:
            asked = [(text, photo.large[target].box) for text, _, target in meant_boxes(photo)]
            if asked:
                hits += _meant(model, read_image(photo.path), [thing.box for thing in photo.large], asked)
        return mean_percent(hits)

    def captions(self, model: Model) -> tuple[float, float]:
        """All captions of the photos."""
        return _captions(model, [read_image(photo.path) for photo, _ in self.said], [said for _, said in self.said])

    def picture(self) -> Pixels:
        """The first photo."""
        return self.labelled[0].image

    def _vectors(self, model: Model) -> list[RegionEmbeddings]:
        regions = [Regions.from_boxes([thing.box for thing in things], photo.size) for photo, things in self.boxes]
        return model.embed([photo.path for photo, _ in self.boxes], regions)


def _dense(model: Model) -> Segmentor:
    if not isinstance(model.segmentor, Segmentor):
        raise UsageError(f"{model.name} paints label maps region by region")
    return model.segmentor


def _stacked(embedded: Sequence[RegionEmbeddings]) -> Tensor:
    return torch.cat([one.vectors for one in embedded])


def _named(model: Model, embedded: Sequence[RegionEmbeddings], names: Sequence[str]) -> Tensor:
    """Probabilities of names of all regions, as the model classifies."""
    segmentor = _dense(model)
    texts = model.embed_classes(list(names), background="none")  # each region shows one of them
    classifier = segmentor.classifier.fit(texts, temperature=segmentor.temperature)
    return torch.cat([region_probabilities(one, classifier) for one in embedded])


def _meant(
    model: Model, image: Pixels, boxes: Sequence[Any], asked: Sequence[tuple[str, Sequence[int | float]]]
) -> list[bool]:
    """Whether the first region for each expression is the one that is meant."""
    regions = Regions.from_boxes(boxes, image.shape[:2])
    found = model.refer(model.encode_regions(image, regions), [text for text, _ in asked])
    return [
        bool(box_ious([regions.boxes[grounding.best].tolist()], box)[0] > RIGHT)
        for grounding, (_, box) in zip(found, asked, strict=True)
    ]


def _captions(model: Model, images: Sequence[Pixels], said: Sequence[Sequence[str]]) -> tuple[float, float]:
    """R@1 of pictures and their captions, both ways; each caption stands once, and is right for all that it is of."""
    encoder: Any = _dense(model).encoder
    different = list(dict.fromkeys(text for texts in said for text in texts))
    texts, _ = encoder.fit_texts(different)
    vectors = []
    for image in images:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(encoder.device).permute(2, 0, 1)[None].float() / 255
        vectors.append(encoder.embed_images(pixels))
    cosines = torch.cat(vectors) @ encoder.embed_texts(texts).T
    right = torch.tensor([[text in own for text in different] for own in map(set, said)])
    return 100 * float(_first(cosines, right)), 100 * float(_first(cosines.T, right.T))


def _first(scores: Tensor, right: Tensor) -> Tensor:
    """Mean of whether the highest score of a row is a right one."""
    return right[torch.arange(len(scores)), scores.cpu().argmax(1)].float().mean()


def _captions_of(data: Path, photos: Sequence[Photo]) -> list[tuple[Photo, list[str]]]:
    """The photos that captions are known of, and these."""
    content = read_json(data / "coco" / "annotations" / "captions_val2017.json")
    records = content.get("annotations") if isinstance(content, Mapping) else content
    if not isinstance(records, list):
        raise UsageError(f"{data}/coco/annotations/captions_val2017.json has no list of captions, as COCO's files have")
    found: dict[int, list[str]] = {}
    for record in records:
        found.setdefault(int(record["image_id"]), []).append(str(record["caption"]).strip())
    return [(photo, found[int(photo.path.stem)]) for photo in photos if int(photo.path.stem) in found]
