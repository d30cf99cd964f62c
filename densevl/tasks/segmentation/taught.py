"""Label maps of taught classes: which segmentor labels pixels by them, and what becomes of pixels that show none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import Classifier, check_classifier
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.regions.embedders.embedder import RegionEmbedder, space_of
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.contracts import LabelMaker
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.stacked import segmentor_of_space

__all__ = ["BackgroundClassifier", "TaughtLabels", "label_by_pixels", "label_by_regions", "with_background"]


@dataclass(frozen=True, eq=False)
class BackgroundClassifier:
    """A classifier with one more class, the background, which nothing is taken for by itself.

    Attributes:
        classifier: of the other classes.
        vocabulary: the classes of the classifier after the background.
        threshold: pixels whose best probability is below this are background; None for off.
    """

    classifier: Classifier
    vocabulary: Vocabulary
    threshold: float | None = None

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.classifier.model_id

    @property
    def space(self) -> str | None:
        """Which vectors of the model it takes."""
        return self.classifier.space

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits; −∞ for the background."""
        return F.pad(self.classifier(vectors), (1, 0), value=-torch.inf)


def with_background(classifier: Classifier, mode: Background) -> Classifier:
    """A classifier with the background class that a mode asks for, where it was not taught one.

    Raises:
        UsageError: where the mode finds the background by words.
    """
    vocabulary = classifier.vocabulary
    if mode.mode not in ("none", "literal", "threshold"):
        raise UsageError(
            f"taught classes are not compared with texts, so the background mode {mode} cannot be used; give examples "
            "of the background, or --background threshold:0.5"
        )
    if mode.mode == "none" or (vocabulary.background is not None and mode.threshold is None):
        return classifier
    if vocabulary.background is not None:
        raise UsageError("the classes were taught what the background is, so that it needs no threshold; leave it out")
    return BackgroundClassifier(classifier, vocabulary.with_background(("background",)), mode.threshold)


@dataclass(frozen=True, eq=False)
class TaughtLabels:
    """Taught classes as a model labels pixels by them.

    Attributes:
        segmentor: makes the label maps.
        classifier: of its vectors.
        digest: of the file of the classes.
    """

    segmentor: LabelMaker
    classifier: Classifier
    digest: str

    delta = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes, the background among them where there is one."""
        return self.classifier.vocabulary

    @property
    def threshold(self) -> float | None:
        """The probability below which a pixel is background; None for off."""
        return getattr(self.classifier, "threshold", None)

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Everything that decides a label map, for reports: JSON values only."""
        return {**self.segmentor.protocol, "classes": self.digest}


def label_by_regions(
    classes: Classes, background: Any, dense: Segmentor, embedder: RegionEmbedder, mask_maker: MaskMaker | None
) -> TaughtLabels:
    """Taught classes of regions: each region that the mask maker proposes is told its class, and painted.

    Pixels that no region covers are background; with the background mode ``none``, as the nearest region.

    Args:
        classes: with a head for regions.
        background: a background mode; None for ``literal``.
        dense: sees whole images.
        embedder: of the regions.
        mask_maker: proposes regions.

    Raises:
        UsageError: where there is no mask maker, the head is for another model or other vectors, or the mode cannot be
            used.
    """
    head, mode = classes.head("regions"), Background.parse("literal" if background is None else background)
    check_classifier(head, embedder.encoder.model_id, space_of(embedder))
    if mask_maker is None:
        raise UsageError(
            "the classes were taught for regions, and this model proposes none; teach them with --for pixels, or take "
            'a mask maker such as mask_maker="sam-vit-b"'
        )
    uncovered = "nearest" if mode.mode == "none" else "background"
    segmentor = RegionSegmentor(dense.encoder, embedder, mask_maker, uncovered=uncovered)
    segmentor.dense = dense
    return TaughtLabels(segmentor, with_background(head, mode), classes.digest)


def label_by_pixels(classes: Classes, background: Any, dense: Segmentor) -> TaughtLabels:
    """Taught classes of pixels: each cell of a feature stack is told its class, and pixels are labelled as with texts.

    Args:
        classes: with a head for pixels; one of the joint space is asked about the features that texts are.
        background: a background mode; None for ``none``.
        dense: the segmentor of the model.

    Raises:
        UsageError: where the head is for another model, or the mode cannot be used.
    """
    head, mode = classes.head("pixels"), Background.parse("none" if background is None else background)
    check_classifier(head, dense.encoder.model_id, head.space)
    segmentor = dense if head.space is None else segmentor_of_space(dense.encoder, head.space)
    return TaughtLabels(segmentor, with_background(head, mode), classes.digest)
