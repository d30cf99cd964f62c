"""Who is asked by a lens: a model by the names of classes, or what it was taught."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int, UInt8
from torch import Tensor

from densevl.api.model import Model
from densevl.classifiers.classes import Classes, Head
from densevl.classifiers.closed_set import ClosedSetClassifier
from densevl.classifiers.contracts import Classifier, check_classifier
from densevl.classifiers.text import TextClassifier, grid_logits, region_logits
from densevl.classifiers.unknown import Known
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.images import to_tensor
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.vocabulary import Vocabulary, normalised
from densevl.encoders.contracts import KnowsClasses
from densevl.regions.embedders.embedder import device_of, space_of
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.taught import TaughtLabels

__all__ = ["Subject"]

TOGETHER = 8
"""Images whose regions are embedded at once."""


def _known(head: Head) -> Known | None:
    """Where what was taught lies; None where nothing was kept of it."""
    try:
        return head.known
    except UsageError:
        return None


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, asked by names, or by the classes that it was taught.

    ``heads``, :meth:`require`, :meth:`vocabulary` and :meth:`labels` cost nothing; what else is asked builds the model.

    Attributes:
        model: that is asked.
        classes: that it was taught; None to ask by names.
    """

    model: Model
    classes: Classes | None = None

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.model.name if self.classes is None else f"{self.model.name}, taught {len(self.classes)} classes"

    @property
    def heads(self) -> tuple[str, ...]:
        """What it can be asked about: ``"regions"``, ``"pixels"`` or both."""
        if self.classes is not None:
            return tuple(self.classes.heads)
        return ("regions", "pixels") if self.model.labels_pixels else ("regions",)

    def require(self, lens: str, head: str) -> None:
        """Refuse a lens that asks what this cannot be asked.

        Args:
            lens: the lens.
            head: that it asks.

        Raises:
            UsageError: where it is missing.
        """
        if head in self.heads:
            return
        if self.classes is not None:
            raise UsageError(
                f"the lens {lens!r} asks about {head}, and these classes were taught for {'+'.join(self.heads)}; "
                f"teach them with --for {head}"
            )
        raise UsageError(f"the lens {lens!r} asks about {head}, and model {self.model.name!r} labels none; take mini")

    def vocabulary(self, names: Sequence[str]) -> Vocabulary:
        """The classes that it is asked to tell apart: those that it was taught, or else these names, each once.

        Raises:
            UsageError: where there are none.
        """
        if self.classes is not None:
            return self.classes.vocabulary
        return Vocabulary.from_classes(list({normalised(name): name for name in names}.values()))

    @staticmethod
    def labels(vocabulary: Vocabulary, names: Sequence[str]) -> Int[np.ndarray, " n"]:
        """The label of each name; −1 for a name that is none of the classes.

        Args:
            vocabulary: the classes.
            names: of regions, say.
        """
        known = dict(zip(map(normalised, vocabulary.queries), vocabulary.query_classes, strict=True))
        return np.array([known.get(normalised(name), -1) for name in names], np.int64)

    def vectors(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> Iterator[RegionEmbeddings]:
        """The vectors of the regions of each image.

        Args:
            images: RGB.
            regions: of each.
        """
        for start in range(0, len(images), TOGETHER):
            batch = slice(start, start + TOGETHER)
            yield from self.model.embed_regions(images[batch], regions[batch])

    def region_logits(self, embeddings: RegionEmbeddings, vocabulary: Vocabulary) -> Float32[Tensor, "n k"]:
        """The logits of regions, whose softmax are probabilities.

        Args:
            embeddings: of n regions.
            vocabulary: that :meth:`vocabulary` gave.
        """
        classifier = self.classifier(vocabulary)
        logits = region_logits(embeddings, classifier)
        return (classifier.of_classes(logits) if isinstance(classifier, TextClassifier) else logits).float().cpu()

    def classifier(self, vocabulary: Vocabulary) -> Classifier:
        """From vectors of regions to logits: the head that was taught, or the texts of the names.

        Args:
            vocabulary: that :meth:`vocabulary` gave.
        """
        encoder = self.model.embedder.encoder
        if self.classes is not None:
            head = self.model.bound(self.classes).head("regions")
            check_classifier(head, encoder.model_id, space_of(self.model.embedder))
            return head
        if vocabulary not in self._texts:
            vectors = self.model.embed_texts(list(vocabulary.queries))
            owners = torch.tensor(vocabulary.query_classes)
            known = encoder.closed_set(list(vocabulary.queries)) if isinstance(encoder, KnowsClasses) else None
            self._texts[vocabulary] = TextEmbeddings(
                vectors.vectors, owners, vocabulary, vectors.model_id, "names", closed_set=known
            )
        texts = self._texts[vocabulary]
        return TextClassifier(texts, self.temperature) if texts.closed_set is None else ClosedSetClassifier(texts)

    def pixels(self, image: UInt8[np.ndarray, "H W 3"], vocabulary: Vocabulary) -> Float32[Tensor, "k H W"]:
        """The probability of each class at each pixel, without a background.

        Args:
            image: RGB.
            vocabulary: that :meth:`vocabulary` gave.
        """
        asked = vocabulary if self.classes is None else self._pixel_labels
        scores = self.model.segment(
            image, asked, background="none" if self.classes is None else None, scores=True
        ).scores
        assert scores is not None
        return torch.as_tensor(scores).float().cpu()

    def region_doubts(self, embeddings: RegionEmbeddings) -> dict[str, Float32[Tensor, " n"]]:
        """How far regions lie from everything that was taught, as ``distance``; nothing where nothing was taught.

        Args:
            embeddings: of n regions.
        """
        known = None if self.classes is None else _known(self.classes.heads["regions"])
        return {} if known is None else {"distance": known.doubts(embeddings.vectors.double()).float().cpu()}

    def pixel_doubts(
        self, image: UInt8[np.ndarray, "H W 3"], vocabulary: Vocabulary
    ) -> dict[str, Float32[Tensor, "H W"]]:
        """What probabilities do not say of how little known pixels are: ``energy`` and ``distance``, where they exist.

        Both are had at the patches, or the cells of a feature stack, and brought to the pixels as probabilities are.

        Args:
            image: RGB.
            vocabulary: that :meth:`vocabulary` gave.
        """
        segmentor = self.model.segmentor if self.classes is None else self._pixel_labels.segmentor
        if not isinstance(segmentor, Segmentor) or segmentor.stages.of_pixels:
            return {}
        texts, known = None, None
        if self.classes is not None:
            classifier, known = self._pixel_labels.classifier, _known(self.classes.heads["pixels"])
        else:
            texts = self.model.embed_classes(vocabulary, "none")
            classifier = segmentor.classifier.fit(texts, temperature=segmentor.temperature)
        encoded = segmentor.encode([image], texts if segmentor.encodes_for_texts else None)[0]
        grid, asked = encoded.features.grid, classifier if texts is None else texts
        maps = {"energy": -grid_logits(grid, classifier).logsumexp(1)}
        if known is not None:
            maps["distance"] = known.doubts(F.normalize(grid.double(), dim=1).movedim(1, -1)).float()
        return {
            name: segmentor.scoring.of_probabilities(encoded, values[:, None], asked)[0].cpu()
            for name, values in maps.items()
        }

    def wholes(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float32[Tensor, "n d"]:
        """Unit vectors of whole images, to be compared with those of :meth:`texts`."""
        encoder = self.model.embedder.encoder
        encoder = encoder if hasattr(encoder, "embed_images") else self.model.viewer.encoder
        device = device_of(encoder)
        with torch.inference_mode():
            return (
                torch.cat([encoder.embed_images(to_tensor(image)[None].to(device)) for image in images]).float().cpu()
            )

    def texts(self, texts: Sequence[str]) -> Float32[Tensor, "q d"]:
        """Unit vectors of texts, to be compared with regions and whole images; those of names are in templates."""
        return self.model.embed_texts(list(texts)).vectors.float().cpu()

    @property
    def temperature(self) -> float:
        """The factor of cosines of regions and texts."""
        return float(self.model.embedder.encoder.temperature)

    @cached_property
    def _texts(self) -> dict[Vocabulary, TextEmbeddings]:
        return {}

    @cached_property
    def _pixel_labels(self) -> TaughtLabels:
        """The head for pixels as the model labels by it."""
        assert self.classes is not None
        return self.model.read_classes(replace(self.classes, heads={"pixels": self.classes.heads["pixels"]}), "none")
