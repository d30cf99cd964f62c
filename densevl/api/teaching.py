"""What a model does with taught classes: teaching them by examples, and asking them about regions and pixels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.classes import Classes, Head
from densevl.classifiers.conditional import conditional_parts
from densevl.classifiers.contracts import check_classifier
from densevl.classifiers.text import region_probabilities
from densevl.core.engine import HERE, Engine
from densevl.core.errors import UsageError
from densevl.core.images import as_image
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples import (
    Example,
    ExamplesLike,
    SequencesLike,
    frames_of,
    given_examples,
    given_sequences,
)
from densevl.regions.embedders.embedder import RegionEmbedder, space_of
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.regions.pipeline import RegionPipeline
from densevl.regions.proposals import Proposals, as_regions
from densevl.tasks.grounding.taught import TaughtNouns
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.taught import TaughtLabels, label_by_pixels, label_by_regions
from densevl.tasks.sequences.recognition import SequenceRecognition
from densevl.tasks.sequences.vectors import SequenceEncoder
from densevl.tasks.teaching.fitting import HeldOut
from densevl.tasks.teaching.pixel_head import teach_pixel_head
from densevl.tasks.teaching.recognition import Recognition
from densevl.tasks.teaching.region_vectors import region_vectors
from densevl.tasks.teaching.sequences import step_of, teach_sequences
from densevl.tasks.teaching.supporting import with_cell_evidence, with_evidence
from densevl.tasks.teaching.teacher import (
    Taught,
    TextSpace,
    check_same_flip,
    step_facts,
    teach_head,
    vocabulary_of,
    wanted_heads,
)
from densevl.tasks.teaching.trust import calibration_of, trust_of

__all__ = ["VIEWS", "ImageSource", "PartOf", "TeachableModel", "file_name"]

ImageSource = str | Path | Image | np.ndarray | Tensor
"""A file, a PIL image, an array (H, W[, C]) or a tensor (3, H, W); see :func:`densevl.read_image`."""

VIEWS = 4
"""Views of each example where nothing else is said."""

ENCODED_BY = {"regions": "pipeline", "pixels": "dense.dense.encoder", "sequences": "sequences"}
"""Attribute of a model that encodes the examples of a head."""


@dataclass(frozen=True)
class PartOf:
    """Makes a part of a model in another process.

    Attributes:
        model: loads it; it can be sent there.
        part: attribute of the model, with dots.
    """

    model: "Callable[[], TeachableModel]"
    part: str

    def __call__(self) -> Any:
        """The part.

        Raises:
            DensevlError: where the model cannot be loaded.
        """
        return attrgetter(self.part)(self.model())


class TeachableModel(ABC):
    """The part of :class:`densevl.Model` that knows taught classes; it builds nothing itself."""

    name: str

    @property
    @abstractmethod
    def embedder(self) -> RegionEmbedder:
        """Turns regions into vectors."""

    @property
    @abstractmethod
    def mask_maker(self) -> MaskMaker | None:
        """Proposes regions and makes masks of boxes; None for none."""

    @property
    @abstractmethod
    def pipeline(self) -> RegionPipeline:
        """Proposes regions, makes their masks and embeds them."""

    @property
    @abstractmethod
    def query_templates(self) -> tuple[str, ...]:
        """What texts are set into."""

    @property
    @abstractmethod
    def viewer(self) -> Any:
        """What looks at whole images: a segmentor."""

    @abstractmethod
    def propose(self, image: ImageSource) -> Regions:
        """Regions of an image, found without any words."""

    @property
    def sequences(self) -> SequenceEncoder:
        """What makes vectors of sequences of frames.

        Raises:
            UsageError: where the model tells no things from what they stand on.
        """
        dense = self.dense
        return SequenceEncoder(dense, None if dense.dense.finds_foreground else self.mask_maker)

    @property
    def dense(self) -> Segmentor:
        """What makes dense features of whole images."""
        viewer = self.viewer
        return viewer.dense if isinstance(viewer, RegionSegmentor) else viewer

    def teach(
        self,
        examples: ExamplesLike | SequencesLike,
        *,
        heads: str = "regions",
        method: Any = None,
        add_to: Classes | None = None,
        views: int = VIEWS,
        seed: int = 0,
        flip: bool = False,
        every: int = 1,
    ) -> Classes:
        """Classes taught by examples, which :meth:`segment`, :meth:`refer` and :meth:`recognise` take as names.

        Args:
            examples: a file or a folder as :func:`densevl.read_examples` reads it, or what it gave, or a list of
                ``{"image": …, "name": …, "box" | "mask" | "point": …}``; for sequences as
                :func:`densevl.read_sequences` reads it, or what it gave.
            heads: ``"regions"``, ``"pixels"`` or ``"both"``: what they shall be told apart by; or ``"sequences"``,
                whose classes :meth:`recognise_sequences` takes.
            method: a classifier method, its config or its name, such as ``"gda"``; None for that of ``add_to``, or
                Gaussian classes with the names as a prior.
            add_to: earlier classes, which the examples are added to as if all had been given at once.
            views: further regions of each example, moved and reshaped a little.
            seed: of the views.
            flip: learn from the mirror image of each image, too, at the cost of encoding it; each example and each of
                its views is then seen twice. ``add_to`` must have been taught likewise. Not for sequences.
            every: step between the frames of a sequence that are taken.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the examples cannot be used, or not by this method.
        """
        taught = self.taught(
            examples, heads=heads, method=method, add_to=add_to, views=views, seed=seed, flip=flip, every=every
        )
        return taught.classes

    def taught(
        self,
        examples: ExamplesLike | SequencesLike,
        *,
        heads: str = "regions",
        method: Any = None,
        add_to: Classes | None = None,
        views: int = VIEWS,
        seed: int = 0,
        flip: bool = False,
        every: int = 1,
        loaded: Mapping[str, Any] | None = None,
        engine: Engine = HERE,
        again: "Callable[[], TeachableModel] | None" = None,
    ) -> Taught:
        """As :meth:`teach`, with what the classes say of held-out examples.

        Args:
            examples: see :meth:`teach`.
            heads: see :meth:`teach`.
            method: see :meth:`teach`.
            add_to: see :meth:`teach`.
            views: see :meth:`teach`.
            seed: see :meth:`teach`.
            flip: see :meth:`teach`.
            every: see :meth:`teach`.
            loaded: further arguments that loaded the model, so that the classes say which model they are for.
            engine: where examples are encoded; what is learnt of them is learnt here.
            again: loads this model in other processes; needed where the engine has any.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the examples cannot be used.
        """
        wanted = wanted_heads(heads, add_to)
        parts = {name: None if again is None else PartOf(again, part) for name, part in ENCODED_BY.items()}
        model = {"name": self.name, **(loaded or {})} if add_to is None else add_to.model
        if wanted == ("sequences",):
            if flip:
                raise UsageError("sequences are not taught by mirror images; leave --flip (flip=True) out")
            sequences = given_sequences(examples)  # type: ignore[arg-type]
            return teach_sequences(self.sequences, sequences, method, add_to, model, every, engine, parts["sequences"])
        given = given_examples(examples)  # type: ignore[arg-type]
        if add_to is not None:
            check_same_flip(add_to, flip)
        vocabulary, labels = vocabulary_of(given, add_to)
        facts = step_facts(given, views=views, seed=seed, flip=flip)
        made: dict[str, Head] = {}
        held: dict[str, HeldOut | None] = {}
        for name in wanted:
            before = None if add_to is None else add_to.heads[name]
            spread = engine, parts[name]
            made[name], held[name] = self._teach(name, given, labels, vocabulary, method, before, facts, *spread)
        return Taught(Classes(vocabulary, made, model), given, labels, held)

    def _teach(
        self,
        head: str,
        examples: Sequence[Example],
        labels: Sequence[int],
        vocabulary: Vocabulary,
        method: Any,
        before: Head | None,
        facts: Mapping[str, Any],
        engine: Engine,
        again: Callable[[], Any] | None,
    ) -> tuple[Head, HeldOut | None]:
        """A head of examples."""
        if head == "pixels":
            return self._teach_pixels(examples, labels, vocabulary, before, facts, engine, again)
        encoder = self.embedder.encoder

        @torch.inference_mode()
        def embed(texts: list[str]) -> Tensor:
            return encoder.embed_texts(texts, list(self.query_templates))

        settings = facts["views"], facts["seed"], facts["flip"]
        vectors = region_vectors(examples, labels, self.pipeline, *settings, engine, again)
        space = TextSpace(embed, encoder.model_id, float(encoder.temperature))
        made, held = teach_head(vectors, vocabulary, space, method, before, facts)
        return with_evidence(made, held, vectors, examples, before), held

    def _teach_pixels(
        self,
        examples: Sequence[Example],
        labels: Sequence[int],
        vocabulary: Vocabulary,
        before: Head | None,
        facts: Mapping[str, Any],
        engine: Engine,
        again: Callable[[], Any] | None,
    ) -> tuple[Head, HeldOut | None]:
        """The head of examples by which pixels are labelled."""
        dense, lights = self.dense.dense, facts["views"] > 0
        made, held = teach_pixel_head(
            dense.encoder,
            examples,
            labels,
            vocabulary,
            before,
            facts,
            lights,
            dense.positions,
            dense.border,
            facts["flip"],
            engine,
            again,
        )
        return with_cell_evidence(made, held, before), held

    def bound(self, classes: Classes) -> Classes:
        """Taught classes with this model at hand, where it makes their texts for what they are compared with.

        Raises:
            UsageError: where they were tuned in another model.
        """
        if not any(any(conditional_parts(head.classifier)) for head in classes.heads.values()):
            return classes
        from densevl.encoders.tuning.bound import bound  # loads open_clip

        return bound(classes, lambda head: self.embedder.encoder if head == "regions" else self.dense.dense.encoder)

    def taught_nouns(self, classes: Classes) -> TaughtNouns:
        """Taught classes as a grounder uses them.

        Raises:
            UsageError: where they were not taught for regions, or for another model.
        """
        return TaughtNouns(self.bound(classes), self.pipeline)

    def read_classes(self, classes: Classes, background: Any = None) -> TaughtLabels:
        """Taught classes as :meth:`segment` uses them: by their head for pixels, or else by that for regions.

        Args:
            classes: the classes.
            background: what becomes of pixels that show none of them: ``"literal"`` (pixels that no region covers),
                ``"none"``, or a threshold in (0, 1); None for ``"literal"`` by regions, and ``"none"`` by pixels.

        Raises:
            UsageError: where they were taught for another model, or the background cannot be used.
        """
        dense, classes = self.dense, self.bound(classes)
        if "pixels" in classes.heads:
            return label_by_pixels(classes, background, dense)
        return label_by_regions(classes, background, dense, self.embedder, self.mask_maker)

    @torch.inference_mode()
    def recognise(self, image: ImageSource, regions: Proposals | None, classes: Classes) -> Recognition:
        """Say which of taught classes each region of an image is.

        Args:
            image: the image.
            regions: regions, boxes "n 4" (xyxy), bool masks "n H W", or a JSON file of boxes; None for those of
                :meth:`propose`.
            classes: taught for regions.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where the classes were taught for another model, or the regions do not fit the image.
        """
        head = self.bound(classes).head("regions")
        check_classifier(head, self.embedder.encoder.model_id, space_of(self.embedder))
        pixels = as_image(image)
        found = self.propose(pixels) if regions is None else as_regions(regions, pixels.shape[:2], file_name(image))
        vectors = self.pipeline.embed([pixels], [found])[0]
        return Recognition(found, classes.vocabulary, region_probabilities(vectors, head).cpu())

    def recognise_sequences(
        self, sequences: Sequence[str | Path | Sequence[ImageSource]], classes: Classes
    ) -> SequenceRecognition:
        """Say which of taught classes each of several sequences is.

        Args:
            sequences: each a video, a folder of frames, or a list of images; one frame is enough.
            classes: taught for sequences.

        Raises:
            ImageError: where a frame cannot be read.
            UsageError: where a sequence has no frame, or the classes were taught for another model.
        """
        head, encoder = classes.head("sequences"), self.sequences
        check_classifier(head, encoder.model_id, encoder.space)
        every, vectors = step_of(classes), []
        for one in tqdm(sequences, desc="sequences", unit="sequence", delay=2, disable=None):
            files = isinstance(one, str | Path)
            frames = (frame.read() for frame in frames_of(one, every)) if files else (as_image(image) for image in one)
            vectors.append(encoder.encode(frames))
        found = torch.stack(vectors) if vectors else torch.zeros(0, classes.heads["sequences"].dim)
        return SequenceRecognition(classes.vocabulary, head(found).float().softmax(1))

    @torch.inference_mode()
    def trust(self, image: ImageSource, regions: Proposals, classes: Classes) -> dict[str, Any]:
        """What one needs to know in order to trust taught classes about regions: JSON values only.

        Args:
            image: the image.
            regions: regions, boxes "n 4" (xyxy), bool masks "n H W", or a JSON file of boxes.
            classes: taught for regions, with an *unknown* (:meth:`densevl.Classes.with_unknown`) or without.

        Returns:
            ``regions``: of each the answer, its confidence, and what supports it, see
            :mod:`densevl.tasks.teaching.trust`; and ``calibration``: how far held-out answers could be believed.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where the classes were taught for another model, or the regions do not fit the image.
        """
        classes = self.bound(classes)
        check_classifier(classes.head("regions"), self.embedder.encoder.model_id, space_of(self.embedder))
        pixels = as_image(image)
        vectors = self.pipeline.embed([pixels], [as_regions(regions, pixels.shape[:2], file_name(image))])[0].vectors
        return {
            "regions": trust_of(classes, vectors.float()),
            "calibration": calibration_of(classes.heads["regions"]),
        }


def file_name(image: ImageSource) -> str | None:
    """The name of an image's file; None where it is none."""
    return Path(image).name if isinstance(image, str | Path) else None
