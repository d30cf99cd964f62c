"""A segmentor as a benchmark model: label maps of the samples, of the classes of their data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from torch import Tensor

from densevl.benchmarks.protocols import LoadedModel
from densevl.benchmarks.segmentation.saving import SaveResults
from densevl.benchmarks.segmentation.upstream import SegDataSample
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.tasks.segmentation.segmentor import EncodedImage

__all__ = ["OpenVocabularyModel"]


@runtime_checkable
class LabelledPixels(Protocol):
    """Images whose pixels have a class of a vocabulary each."""

    vocabulary: Vocabulary


@MODELS.register_module()
class OpenVocabularyModel(LoadedModel[LabelledPixels]):
    """A segmentor that labels the samples of a data set with the classes of its vocabulary.

    Args:
        model: what :class:`LoadedModel` loads; it must have a segmentor.
        flip: average the probabilities of the image and of its mirror image.
        changes: further arguments of :func:`densevl.load`.
    """

    mirrors = True

    def __init__(self, model: str | Mapping[str, Any] | None = None, flip: bool = False, **changes: Any) -> None:
        super().__init__(model, **changes)
        self.segmentor = self.loaded.segmentor
        self.flip = flip
        self.texts: TextEmbeddings | None = None

    @property
    def dataset_options(self) -> dict[str, Any]:
        """The size that the segmentor wants images in."""
        return {"short_side": self.segmentor.short_side, "long_side": self.segmentor.long_side}

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings that decide the labels, and whether mirror images are averaged in."""
        return {**self.segmentor.protocol, "mirrored": self.flip, "device": str(self.segmentor.device)}

    def hooks(self, out: str | Path | None, show_dir: str | Path | None) -> list[Hook]:
        """Label maps and overlays."""
        return [SaveResults(out, show_dir)]

    def prepare(self, dataset: LabelledPixels) -> None:
        """Embed the classes of the data set."""
        self.ask(dataset.vocabulary)

    def ask(self, vocabulary: Vocabulary) -> None:
        """Embed the classes that the following samples are labelled with.

        Raises:
            UsageError: where the background mode adds a class that the data set does not have.
        """
        texts = self.segmentor.embed(vocabulary)
        if len(texts.vocabulary) != len(vocabulary):
            raise UsageError(
                f"background={self.segmentor.background} adds a class that {vocabulary.name} does not have; "
                "evaluate it with background=none"
            )
        self.texts = texts

    def answer(self, images: Sequence[Tensor], samples: Sequence[SegDataSample]) -> None:
        """Add ``pred_sem_seg`` to the samples; their images have the size that :attr:`dataset_options` names."""
        for labels, sample in zip(self._label(images, [s.ori_shape for s in samples]), samples, strict=True):
            sample.pred_sem_seg = PixelData(data=labels[None])

    def _label(self, images: Sequence[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        if self.texts is None:
            raise UsageError("the model does not know its classes yet; call ask(vocabulary) first")
        texts = self.texts if self.segmentor.encodes_for_texts else None
        encoded = self.segmentor.encode_resized(images, sizes, texts)
        if not self.flip:
            return [self.segmentor.label(image, self.texts)[0] for image in encoded]
        mirrored = self.segmentor.encode_resized([image.flip(-1) for image in images], sizes, texts)
        return [self._label_both(*both, self.texts) for both in zip(encoded, mirrored, strict=True)]

    def _label_both(self, image: EncodedImage, mirrored: EncodedImage, texts: TextEmbeddings) -> Tensor:
        scores = self.segmentor.scores(image, texts).add_(self.segmentor.scores(mirrored, texts).flip(-1)).div_(2)
        best, labels = scores.max(dim=0)
        if texts.threshold is not None and texts.vocabulary.background is not None:
            labels[best < texts.threshold] = texts.vocabulary.background
        return labels
