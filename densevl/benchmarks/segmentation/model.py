"""A segmentor as a model of mmsegmentation: label maps of the samples, of the classes of a vocabulary."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from torch import Tensor, nn

from densevl.benchmarks.protocols import LoadedModel, as_array
from densevl.benchmarks.segmentation.inputs import Preprocessing, build_preprocessor
from densevl.benchmarks.segmentation.saving import SaveResults
from densevl.benchmarks.segmentation.upstream import BaseSegmentor, SegDataSample
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import resized_size
from densevl.core.images import resize_image
from densevl.core.understood import Understood
from densevl.core.vocabulary import Vocabulary
from densevl.metrics.confusion import Scores
from densevl.tasks.segmentation.encoded import EncodedImage

__all__ = ["OpenVocabularyModel"]

MIRRORED = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}
"""Dimensions of the flip directions of mmsegmentation."""


@runtime_checkable
class LabelledPixels(Protocol):
    """Images whose pixels have a class of a vocabulary each."""

    vocabulary: Vocabulary


@MODELS.register_module()
class OpenVocabularyModel(LoadedModel[LabelledPixels], BaseSegmentor):
    """A segmentor that labels the samples of a data set with the classes of its vocabulary.

    It takes the images of any pipeline and data preprocessor of mmsegmentation, see :mod:`.inputs`. An image that the
    pipeline has not resized (its sample has no ``scale_factor``, and the size of the original) is resized as the
    segmentor wants it. Label maps have the size of the original, ``ori_shape``.

    Args:
        model: what :class:`LoadedModel` loads; it must have a segmentor.
        flip: average the probabilities of the image and of its mirror image.
        vocabulary: the classes: a built-in vocabulary or a file by its name, or a list of names and lists of synonyms.
            Without it they come from :attr:`dataset_meta`, from :meth:`ask`, or from the hook ``AskDatasetClasses``.
        queries: the words that are asked for these classes in the place of their own, as many and in the same order: a
            built-in vocabulary or a file by its name.
        data_preprocessor: one of mmsegmentation, or its config; None takes the images as the pipeline gives them.
        channel_order: of the images of the pipeline: ``"bgr"``, as mmsegmentation reads them, or ``"rgb"``.
        seg_logits: also give the logarithm of the probability of every class, as ``seg_logits``; much memory.
        test_cfg: ``mode="slide"`` with a ``crop_size`` and a ``stride``, or ``mode="whole"``: the windows of the
            segmentor; None for its own.
        train_cfg: empty: these models are not trained here.
        pretrained: None: weights are named by ``weights``.
        init_cfg: None, likewise.
        changes: further arguments of :func:`densevl.load`.

    Raises:
        UsageError: where an argument cannot be honoured.
    """

    mirrors = True

    def __init__(
        self,
        model: str | Mapping[str, Any] | None = None,
        flip: bool = False,
        vocabulary: str | Sequence[Any] | None = None,
        queries: str | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
        channel_order: str = "bgr",
        seg_logits: bool = False,
        test_cfg: Mapping[str, Any] | None = None,
        train_cfg: Mapping[str, Any] | None = None,
        pretrained: str | None = None,
        init_cfg: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        for name, given in (("train_cfg", train_cfg), ("pretrained", pretrained), ("init_cfg", init_cfg)):
            if given:
                raise UsageError(f"a model of densevl takes no {name}={given!r}; name its weights by weights=FILE")
        super().__init__(model, build_preprocessor(data_preprocessor), **{**_windows(test_cfg or {}), **changes})
        self.preprocessing = Preprocessing.of(self.data_preprocessor, channel_order)
        self.segmentor = self.loaded.segmentor
        self.flip, self.seg_logits = flip, seg_logits
        self.named = vocabulary is not None
        self.vocabulary = None if vocabulary is None else _vocabulary(vocabulary)
        self.queries = queries
        self.texts: TextEmbeddings | None = None
        self.understood: Understood | None = None
        self.background = ""

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings that decide the labels, whether mirror images are averaged in, and which names are known."""
        own = {"background": self.background} if self.background else {}
        own |= {} if self.queries is None else {"queries": self.queries}
        known = {} if self.understood is None else {"names": self.understood.summary}
        return {**self.segmentor.protocol, **own, "mirrored": self.flip, "device": str(self.segmentor.device), **known}

    def grouped(self, scores: Scores) -> Scores:
        """The scores, with the mean over the names that the model knows where it does not know all."""
        if self.understood is None or not self.understood.unknown:
            return scores
        known = [index for index, name in enumerate(scores.names) if name not in self.understood.unknown]
        return replace(scores, groups={**scores.groups, "the names that it knows": known})

    def hooks(self, out: str | Path | None, show_dir: str | Path | None) -> list[Hook]:
        """Label maps and overlays."""
        return [SaveResults(out, show_dir)]

    def prepare(self, dataset: LabelledPixels) -> None:
        """Embed the classes of the data set."""
        self.ask(dataset.vocabulary)

    def ask(self, vocabulary: Vocabulary) -> None:
        """Embed the classes that the following samples are labelled with.

        Names that a model of certain words does not know are never found. Its background mode ``others`` is ``none`` on
        a data set that has no class for the rest.

        Raises:
            UsageError: where the background mode adds a class that the data set does not have, or no name is known.
        """
        own = self.segmentor.background
        mode = Background() if own.mode == "others" and vocabulary.background is None else own
        asked = self._asked(vocabulary)
        texts = self.segmentor.embed(asked, mode, partly=True)
        if len(texts.vocabulary) != len(vocabulary):
            raise UsageError(
                f"background={self.segmentor.background} adds a class that {vocabulary.name} does not have; "
                "evaluate it with background=none"
            )
        self.vocabulary, self.texts = vocabulary, texts
        self.understood = self.segmentor.understood(asked, mode)
        self.background = str(mode)

    def _asked(self, vocabulary: Vocabulary) -> Vocabulary:
        """The words that are asked for the classes of a vocabulary."""
        if self.queries is None:
            return vocabulary
        asked = Vocabulary.load(self.queries)
        if (len(asked), asked.background) != (len(vocabulary), vocabulary.background):
            raise UsageError(
                f"queries={self.queries!r} has {len(asked)} classes, background {asked.background}, and "
                f"{vocabulary.name} has {len(vocabulary)}, background {vocabulary.background}: they are not for it"
            )
        return asked

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """Names and colours of the classes, as mmsegmentation keeps them beside a model; None where there are none yet.

        Classes that are assigned are those of the following samples. A model whose config names a ``vocabulary`` keeps
        that, with a warning, for mmsegmentation assigns the classes of Cityscapes to a model without a checkpoint.
        """
        if self.vocabulary is None:
            return None
        return {"classes": self.vocabulary.names, "palette": [list(colour) for colour in self.vocabulary.palette]}

    @dataset_meta.setter
    def dataset_meta(self, meta: Mapping[str, Any] | None) -> None:
        if meta is None or tuple(meta["classes"]) == (self.dataset_meta or {}).get("classes"):
            return
        if self.named and self.vocabulary is not None:
            names = ", ".join(meta["classes"][:3])
            warnings.warn(
                f"the model keeps the classes of its vocabulary {self.vocabulary.name!r}; those that were assigned "
                f"({names}, …) are not used",
                stacklevel=2,
            )
            return
        found = Vocabulary.from_classes(list(meta["classes"]), "dataset_meta")
        palette = tuple((int(red), int(green), int(blue)) for red, green, blue in meta.get("palette") or ())
        self.vocabulary = Vocabulary(found.name, found.classes, found.background, palette)
        self.texts = None

    @property
    def out_channels(self) -> int:
        """Number of classes."""
        return len(self._texts().vocabulary)

    def forward(
        self, inputs: Sequence[Tensor] | Tensor, data_samples: Sequence[Any] | None = None, mode: str = "predict"
    ) -> Any:
        """Label images, or give the probability of every class.

        Args:
            inputs: images as the data preprocessor leaves them, (3, H, W) each.
            data_samples: one an image; where they are None, label maps have the size of the images.
            mode: ``"predict"`` adds ``pred_sem_seg`` to the samples and returns them; ``"tensor"`` returns the
                probabilities of each image, (classes, height, width).
        """
        if data_samples is None:
            sizes = [tuple(image.shape[-2:]) for image in inputs]
            data_samples = [SegDataSample(metainfo={"ori_shape": size, "img_shape": size}) for size in sizes]
        if mode == "tensor":
            return self._forward(inputs, data_samples)
        return super().forward(list(inputs), data_samples, mode)

    def predict(self, inputs: Sequence[Tensor] | Tensor, data_samples: Sequence[Any] | None = None) -> list[Any]:
        """The samples, with ``pred_sem_seg``."""
        return self.forward(inputs, data_samples)

    @torch.inference_mode()
    def _forward(self, inputs: Sequence[Tensor] | Tensor, data_samples: Sequence[Any]) -> list[Float[Tensor, "k _ _"]]:
        return [self._scores(image, mirrored) for image, mirrored in self._encoded(inputs, data_samples)]

    def extract_feat(self, inputs: Sequence[Tensor] | Tensor) -> list[EncodedImage]:
        """The images, encoded; a segmentor labels them with any classes."""
        sizes = [tuple(image.shape[-2:]) for image in inputs]
        samples = [SegDataSample(metainfo={"ori_shape": size, "img_shape": size}) for size in sizes]
        return [image for image, _ in self._encoded(inputs, samples)]

    def encode_decode(
        self, inputs: Sequence[Tensor] | Tensor, batch_data_samples: Sequence[Any]
    ) -> list[Float[Tensor, "k _ _"]]:
        """The probability of every class at every pixel of each image."""
        return self._forward(inputs, batch_data_samples)

    def loss(self, inputs: Any, data_samples: Any) -> NoReturn:
        """Not here: heads and encoders are trained by ``densevl train``."""
        raise UsageError("a model of densevl is not trained by mmsegmentation; see `densevl train`")

    def answer(self, images: Sequence[Tensor], samples: Sequence[SegDataSample]) -> None:
        """Add ``pred_sem_seg`` to the samples, and ``seg_logits`` where they are wanted."""
        texts = self._texts()
        for (image, mirrored), sample in zip(self._encoded(images, samples), samples, strict=True):
            if mirrored is None and not self.seg_logits:
                labels, _ = self.segmentor.label(image, texts)
            else:
                scores = self._scores(image, mirrored)
                labels = scores.argmax(dim=0)
                if self.seg_logits:
                    sample.seg_logits = PixelData(data=_upright(scores.log(), sample))
            sample.pred_sem_seg = PixelData(data=_upright(labels[None], sample))

    def _encoded(
        self, images: Sequence[Tensor] | Tensor, samples: Sequence[SegDataSample]
    ) -> list[tuple[EncodedImage, EncodedImage | None]]:
        """Every image as the segmentor sees it, with its mirror image where that is averaged in."""
        texts = self._texts() if self.segmentor.encodes_for_texts else None
        pixels = [self._sized(*pair) for pair in zip(images, samples, strict=True)]
        sizes = [_original(sample) for sample in samples]
        encoded = self.segmentor.encode_resized(pixels, sizes, texts)
        if not self.flip:
            return [(image, None) for image in encoded]
        mirrored = self.segmentor.encode_resized([image.flip(-1) for image in pixels], sizes, texts)
        return list(zip(encoded, mirrored, strict=True))

    def _sized(self, image: Tensor, sample: SegDataSample) -> UInt8[Tensor, "3 _ _"]:
        """The RGB image of a sample, on the device of the segmentor and in the size that it wants."""
        pixels = self.preprocessing.undo(image, sample)
        size = (pixels.shape[1], pixels.shape[2])
        resized = "scale_factor" in sample or size != _original(sample)
        if self.segmentor.short_side is not None and not resized:
            size = resized_size(size, self.segmentor.short_side, self.segmentor.long_side)
            pixels = torch.from_numpy(resize_image(as_array(pixels), size)).permute(2, 0, 1)
        return pixels.to(self.segmentor.device)

    def _texts(self) -> TextEmbeddings:
        if self.texts is None and self.vocabulary is not None:
            self.ask(self.vocabulary)
        if self.texts is None:
            raise UsageError(
                "the model does not know its classes yet; call ask(vocabulary) first, or name them in the config with "
                "model.vocabulary, or add custom_hooks=[dict(type='AskDatasetClasses')] to take those of the data set"
            )
        return self.texts

    def _scores(self, image: EncodedImage, mirrored: EncodedImage | None) -> Float[Tensor, "k _ _"]:
        """The probability of every class, of which the largest names the label: a background by threshold has that."""
        texts = self._texts()
        scores = self.segmentor.scores(image, texts)
        if mirrored is not None:
            scores = scores.add_(self.segmentor.scores(mirrored, texts).flip(-1)).div_(2)
        if texts.threshold is not None and texts.vocabulary.background is not None:
            scores[texts.vocabulary.background].clamp_(min=texts.threshold)
        return scores

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Refuse a checkpoint of another model, of which mmengine would load nothing and go on."""
        own, given = {prefix + name for name in self.state_dict()}, set(state_dict)
        if own != given:
            raise UsageError(
                f"the checkpoint is not one of this model: {len(own - given)} of its {len(own)} entries are missing, "
                f"and {len(given - own)} are of something else; name weights of the encoder by model.weights=FILE"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _vocabulary(classes: str | Sequence[Any]) -> Vocabulary:
    return Vocabulary.load(classes) if isinstance(classes, str) else Vocabulary.from_classes(classes)


def _windows(test_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a segmentor that mmsegmentation writes as ``test_cfg``."""
    if not test_cfg:
        return {}
    if dict(test_cfg) == {"mode": "whole"}:
        return {"window": None}
    if set(test_cfg) == {"mode", "crop_size", "stride"} and test_cfg["mode"] == "slide":
        (window, *others), (stride, *steps) = (
            (side,) if isinstance(side, int) else side for side in (test_cfg["crop_size"], test_cfg["stride"])
        )
        if set(others) <= {window} and set(steps) <= {stride}:
            return {"window": window, "stride": stride}
    raise UsageError(
        "test_cfg is dict(mode='whole') or dict(mode='slide', crop_size=(448, 448), stride=(224, 224)), with square "
        f"windows; got {dict(test_cfg)}"
    )


def _original(sample: SegDataSample) -> tuple[int, int]:
    """(height, width) of the label map of a sample."""
    if "ori_shape" not in sample:
        raise UsageError("a sample has no ori_shape, the size of its label map; add it to meta_keys of PackSegInputs")
    height, width = sample.ori_shape[:2]
    return int(height), int(width)


def _upright(values: Tensor, sample: SegDataSample) -> Tensor:
    """Values (…, height, width) of an image that the pipeline has flipped, as those of the original."""
    return values.flip(MIRRORED[sample.flip_direction]) if sample.get("flip") else values
