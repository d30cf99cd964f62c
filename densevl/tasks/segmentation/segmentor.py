"""The segmentor: an encoder, the way its last block is read, and the labelling, put together.

Encode an image once, then ask it as many vocabularies as you like:

    encoded, = segmentor.encode([image])
    texts = segmentor.embed(Vocabulary.parse("cat, sofa|couch"))
    labels, best = segmentor.label(encoded, texts)

The protocol is that of MaskCLIP (Zhou et al., ECCV 2022, https://arxiv.org/abs/2112.01071) as CLIP-DINOiser
(Wysoczańska et al., ECCV 2024, https://arxiv.org/abs/2312.12359) evaluates it: short side 448, windows of 448 pixels
with stride 224, probabilities softmax(100 · cosine) on the patch grid of each window, upsampled and averaged.
Differences: synonyms are reduced by their maximum over every class, before the softmax; any batch of images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor, nn

from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.contracts import Classifier, ClassifierMethod, check_classifier
from densevl.core.background import Background
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.geometry import Size, resized_size
from densevl.core.images import resize_image, to_bytes, to_tensor
from densevl.core.int8 import dtype_name
from densevl.core.registry import build
from densevl.core.transfers import upload
from densevl.core.understood import Understood
from densevl.core.vocabulary import Vocabulary
from densevl.dense.contracts import Readout
from densevl.dense.encoder import DenseEncoder
from densevl.dense.refiners.dinoiser import mark_background
from densevl.encoders.contracts import Encoder, KnowsClasses, Needs, TextSpace, tuned_by
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.questions import Questions
from densevl.tasks.segmentation.region_blend import RegionBlend
from densevl.tasks.segmentation.region_maps import RegionMaps, joined
from densevl.tasks.segmentation.scoring import Scoring
from densevl.tasks.segmentation.stages import Stages
from densevl.tasks.segmentation.window_batch import windows_at_once
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["Segmentor"]


class Segmentor(nn.Module):
    """Label maps from class names.

    Args:
        encoder: a built encoder or its config.
        readout: how the last block is read: a built readout, its config, or its name.
        refiners: modules that map dense features to dense features, in order.
        templates: name of the text templates.
        short_side: images are resized so that their short side has this many pixels; None keeps their size.
        long_side: no side exceeds this many pixels after resizing.
        window: side of the square windows in pixels; None for the whole image at once.
        stride: step between windows in pixels.
        background: background mode where :meth:`embed` is not told another; see :class:`Background`. None for
            ``single`` where one class is asked for, and else ``none``.
        single: background mode of a single class where neither ``background`` nor the call names one: alone, a class
            gets every pixel.
        temperature: multiplies the cosines before the softmax; None for the factor that the encoder was trained with.
        classifier: how vectors and texts become class scores: a method, its config, or its name.
        stages: stages that change texts, scores or labels, in order: names, configs or built ones of
            :data:`densevl.dense.stages.STAGES`. Those of texts come first, then those on the patch grid, on pixels, and
            of labels.
        average: what is averaged over windows: ``"probabilities"``, or ``"logits"``, of which the softmax over all
            queries is then taken at every pixel of the image and, last, the largest of a class (NACLIP and its kin).
        normalise: where logits are averaged, whether the probabilities of the classes are made to sum to 1 after the
            largest of each class was taken; SCLIP and its kin leave them, and thresholds depend on it.
        upsampling: from patches to the pixels of the image as given: ``"image"`` through those of the resized image,
            ``"direct"`` at once, for whole images alone.
        positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        border: what becomes of sides that are no multiple of the patch, one of
            :data:`densevl.encoders.contracts.DENSE_BORDERS`.
        blend: mixes the vectors of regions into the dense features: arguments of a
            :class:`densevl.tasks.segmentation.region_blend.RegionBlend`, or a built one; None for dense features alone.
        mask_maker: makes the regions of whole images that a readout or stages read, such as CorrCLIP and the vote of
            masks: a name, a config or a built one of :data:`densevl.regions.mask_makers.MASK_MAKERS`.
        window_batch: windows that go through the encoder together, of whatever images; None for four on a CPU, and for
            as many as fit into the free memory of a GPU.
    """

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        readout: Any = "maskclip",
        refiners: Sequence[Any] = (),
        templates: str = "imagenet80",
        short_side: int | None = 448,
        long_side: int = 2048,
        window: int | None = 448,
        stride: int = 224,
        background: Any = None,
        single: Any = "contrast",
        temperature: float | None = 100.0,
        classifier: ClassifierMethod | Mapping[str, Any] | str = "text",
        stages: Sequence[Any] = (),
        average: str = "probabilities",
        normalise: bool = True,
        upsampling: str = "image",
        positions: str = "size",
        border: str = "black",
        blend: RegionBlend | Mapping[str, Any] | None = None,
        mask_maker: Any = None,
        window_batch: int | None = None,
    ) -> None:
        super().__init__()
        if window is not None and not 0 < stride <= window:
            raise UsageError(f"stride must lie between 1 and the window ({window}); got {stride}")
        self.dense = DenseEncoder(encoder, readout, refiners, positions, border)
        self.blend = RegionBlend(self.dense.encoder, **blend) if isinstance(blend, Mapping) else blend
        self.classifier: ClassifierMethod = build(CLASSIFIERS, classifier)
        if not hasattr(self.classifier, "fit"):
            raise UsageError(f"classifier must be one of {', '.join(CLASSIFIERS.names)}; got {classifier!r}")
        self.scoring = Scoring(Stages(stages), average, normalise, upsampling)
        if upsampling == "direct" and window is not None:
            raise UsageError(f"upsampling=direct goes with whole images, window=None; got a window of {window}")
        self.short_side, self.long_side = short_side, long_side
        self.window, self.stride = window, stride
        own = Background.parse(background)
        self.questions = Questions(
            templates,
            own,
            own if background is not None else Background.parse(single),
            finds_foreground=self.dense.finds_foreground,
            tells_others=self.classifier.name.startswith("closed-set"),
            averages_logits=average == "logits",
        )
        self.temperature = self.dense.encoder.temperature if temperature is None else temperature
        self.average = average
        self.regions = RegionMaps(mask_maker, _who_reads_regions(self.dense, self.scoring.stages))
        self.window_batch = window_batch
        self.eval()

    @property
    def encoder(self) -> Encoder:
        """The encoder of images and texts."""
        return self.dense.encoder

    @property
    def readout(self) -> Readout:
        """The readout of the last block."""
        return self.dense.readout

    @property
    def refiners(self) -> nn.ModuleList:
        """The modules that refine dense features."""
        return self.dense.refiners

    @property
    def templates(self) -> str:
        """Name of the text templates."""
        return self.questions.templates

    @property
    def background(self) -> Background:
        """Background mode where :meth:`embed` is not told another."""
        return self.questions.background

    @property
    def stages(self) -> Stages:
        """The stages that change texts, scores or labels."""
        return self.scoring.stages

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.dense.device

    @property
    def space(self) -> str:
        """The name of the vectors that it classifies, for classifiers that are made of examples."""
        if self.dense.stack is not None:
            return self.dense.stack
        settings = {**self.dense.protocol, **self._blended}
        return "dense: " + ", ".join(str(value) for key, value in settings.items() if key != "encoder")

    @property
    def _blended(self) -> dict[str, str]:
        """What of the protocol says how regions are mixed in."""
        return {} if self.blend is None else {"blend": self.blend.name}

    @property
    def encodes_for_texts(self) -> bool:
        """True where an image must be encoded together with its classes, and cannot be asked others."""
        return self.dense.needs.texts

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a label map, for reports: plain values only."""
        return {
            **self.dense.protocol,
            **tuned_by(self.encoder),
            **self._blended,
            **({} if self.regions.name is None else {"mask_maker": self.regions.name}),
            "classifier": self.classifier.name,
            "templates": self.templates,
            **({"words": self.encoder.words} if isinstance(self.encoder, KnowsClasses) else {}),
            "short_side": self.short_side,
            "long_side": self.long_side,
            "window": self.window,
            "stride": self.stride,
            "background": str(self.background),
            "single": str(self.questions.single),
            "temperature": self.temperature,
            **self.scoring.protocol,
            "dtype": dtype_name(self.encoder),
        }

    @property
    def view(self) -> dict[str, Any]:
        """Everything that decides a summary: JSON values only."""
        names = ("encoder", "positions", "border", "short_side", "long_side", "window", "stride", "dtype")
        return {name: self.protocol[name] for name in names}

    def encode(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], texts: TextEmbeddings | None = None
    ) -> list[EncodedImage]:
        """Resize RGB images and encode them, each any size.

        Args:
            images: each any size.
            texts: the classes that they are encoded for, where the readout wants them; see
                :attr:`encodes_for_texts`.
        """
        tensors = [self._resized(image) for image in images]
        encoded = self._encoded(tensors, [image.shape[:2] for image in images], texts)
        return [
            self._with_regions(replace(one, image=image), image) for one, image in zip(encoded, images, strict=True)
        ]

    @torch.inference_mode()
    def summarise(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "n c"]:
        """The summaries that :meth:`encode` hands out, without readout and refiners.

        Args:
            images: RGB, each any size.
        """
        found = []
        for image in map(self._resized, images):
            plan = WindowPlan((image.shape[1], image.shape[2]), self.window, self.stride)
            windows = plan.crop(self._floats(image)[None])
            windows = windows.split(self._at_once(windows))
            found.append(torch.cat([self.dense.summarise(batch) for batch in windows]).mean(0))
        return torch.stack(found)

    def _resized(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]:
        """The resized image; a GPU gets its bytes, a quarter of the floats, and makes floats itself."""
        size = image.shape[:2]
        if self.short_side is not None:
            size = resized_size(size, self.short_side, self.long_side)
        resized = resize_image(image, size)
        if self.device.type == "cpu":
            return to_tensor(resized)
        return upload(torch.from_numpy(np.ascontiguousarray(resized)), self.device).permute(2, 0, 1)

    def _floats(self, image: Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]) -> Float[Tensor, "3 _ _"]:
        """An image in [0, 1] where the weights are."""
        here = upload(image, self.device)
        return here.float().div_(255) if here.dtype == torch.uint8 else here

    def _at_once(self, windows: Float[Tensor, "n 3 h w"]) -> int:
        """How many of some windows go through the encoder together."""
        size = windows.shape[2], windows.shape[3]
        return self.window_batch or windows_at_once(self.encoder, size, self.device)

    @torch.inference_mode()
    def encode_resized(
        self,
        images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]],
        sizes: Sequence[Size],
        texts: TextEmbeddings | None = None,
    ) -> list[EncodedImage]:
        """Encode images that a pipeline has already resized.

        Args:
            images: RGB, bytes or floats in [0, 1], each any size.
            sizes: (height, width) that the label map of each image shall have.
            texts: the classes that they are encoded for, where the readout wants them.
        """
        encoded = self._encoded(images, sizes, texts)
        if self.blend is None:
            return encoded
        return [self._with_regions(one, to_bytes(image)) for one, image in zip(encoded, images, strict=True)]

    def _with_regions(self, encoded: EncodedImage, image: UInt8[np.ndarray, "_ _ 3"]) -> EncodedImage:
        """An encoded image with what its regions say, where they are mixed in."""
        if self.blend is None:
            return encoded
        return replace(encoded, features=self.blend(image, encoded.features, encoded.plan))

    @torch.inference_mode()
    def _encoded(
        self,
        images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]],
        sizes: Sequence[Size],
        texts: TextEmbeddings | None,
    ) -> list[EncodedImage]:
        """Encoded images as they come from the dense encoder."""
        images = [self._floats(image) for image in images]
        plans = [WindowPlan((image.shape[1], image.shape[2]), self.window, self.stride) for image in images]
        crops = [plan.crop(image[None]) for plan, image in zip(plans, images, strict=True)]
        features: list[DenseFeatures] = [None] * len(crops)  # type: ignore[list-item]
        regions = [self.regions(image, plan, self.device) for image, plan in zip(images, plans, strict=True)]
        if self.dense.needs.windows:
            for i, (crop, plan) in enumerate(zip(crops, plans, strict=True)):
                features[i] = self.dense(crop, self._keys, plan.boxes, texts, regions[i])
        else:
            order = sorted(range(len(crops)), key=lambda i: crops[i].shape[2:])
            for _, group in groupby(order, key=lambda i: crops[i].shape[2:]):
                members = list(group)
                together = torch.cat([crops[i] for i in members])
                at_once = self._at_once(together)
                windows = together.split(at_once)
                maps = joined(regions, members, at_once, len(windows))
                encoded = DenseFeatures.cat(
                    [
                        self.dense(batch, self._keys, texts=texts, regions=some)
                        for batch, some in zip(windows, maps, strict=True)
                    ]
                )
                for i, part in zip(members, encoded.split([len(crops[i]) for i in members]), strict=True):
                    features[i] = part
        kept = [image if self.stages.reads_pixels else None for image in images]
        made_for = texts if self.encodes_for_texts else None
        encoder = self.dense if self.stages.needs.encoder else None
        return [
            EncodedImage(one, _covered(one, plan), size, pixels=pixels, texts=made_for, encoder=encoder)
            for one, plan, size, pixels in zip(features, plans, sizes, kept, strict=True)
        ]

    @property
    def _keys(self) -> bool:
        return self.stages.needs.keys

    @torch.inference_mode()
    def embed(self, vocabulary: Vocabulary, background: Any = None, partly: bool = False) -> TextEmbeddings:
        """Embed the queries of a vocabulary, extended by the background class that the mode asks for.

        An encoder that knows certain words leaves out synonyms that it does not know; :meth:`understood` tells them.

        Args:
            vocabulary: the classes.
            background: a background mode as :meth:`Background.parse` reads it; None for the segmentor's own.
            partly: whether classes of which the encoder knows no query are left without one, and so are never found.

        Raises:
            UsageError: where it knows no query of some class, or, ``partly``, of any.
        """
        return self.embed_with(self.encoder, vocabulary, background, partly)

    def embed_with(
        self,
        encoder: TextSpace,
        vocabulary: Vocabulary,
        background: Any = None,
        partly: bool = False,
        each: bool | None = None,
    ) -> TextEmbeddings:
        """As :meth:`embed`, by another text encoder.

        Args:
            encoder: of the texts.
            vocabulary: the classes.
            background: as :meth:`embed` takes it.
            partly: the same.
            each: whether the vectors of each template are kept; None where the classifier reads them.
        """
        each = getattr(self.classifier, "reads_templates", False) if each is None else each
        return self.questions.embed(encoder, vocabulary, background, partly, each)

    def understood(self, vocabulary: Vocabulary, background: Any = None) -> Understood | None:
        """How the encoder reads the queries of a vocabulary; None for one that takes any text.

        Args:
            vocabulary: the classes.
            background: as :meth:`embed` takes it.
        """
        return self.questions.understood(self.encoder, vocabulary, background)

    def mode_of(self, vocabulary: Vocabulary, background: Any = None) -> Background:
        """The background mode that classes are embedded with.

        Args:
            vocabulary: the classes.
            background: as :meth:`embed` takes it.

        Raises:
            UsageError: where the model cannot do what the mode asks for.
        """
        return self.questions.mode_of(vocabulary, background)

    def _classifier(self, encoded: EncodedImage, classes: TextEmbeddings | Classifier) -> Classifier:
        """The classifier that scores the features of an image."""
        if encoded.texts is not None and encoded.texts is not classes:
            raise UsageError(
                f"the image was encoded for the classes of {encoded.texts.vocabulary.name!r}, since "
                f"{self.dense.readout.name} reads them while it encodes; encode it again for others"
            )
        if isinstance(classes, TextEmbeddings):
            adapted = self.stages.adapt(classes, encoded.features)
            classes = self.classifier.fit(adapted, temperature=self.temperature)
        if self.dense.stack is not None and classes.space is None:
            raise UsageError(
                "the image was encoded for classes taught by examples, and texts cannot be compared with it"
            )
        check_classifier(classes, encoded.features.model_id, self.space)
        return classes

    @torch.inference_mode()
    def probabilities(self, encoded: EncodedImage, classes: TextEmbeddings | Classifier) -> Float32[Tensor, "n k h w"]:
        """Class probabilities on the patch grid of every window, behind the stages of patches.

        With the background mode ``head``, patches that it marks have probability 1 for the background class; the
        others keep theirs.

        Args:
            encoded: an image.
            classes: texts, or a classifier of this segmentor's space.

        Raises:
            UsageError: where the classes belong to another model or space, or the image was encoded for others.
        """
        result = self.scoring.probabilities(encoded, self._classifier(encoded, classes))
        if isinstance(classes, TextEmbeddings):
            background, foreground = classes.vocabulary.background, encoded.features.foreground
            if classes.delta is not None and background is not None:
                if foreground is None:
                    raise UsageError(
                        "the image was encoded without a background head; encode it with a model that has one"
                    )
                result = mark_background(result, foreground, background, classes.delta)
        return result

    @torch.inference_mode()
    def label(
        self, encoded: EncodedImage, classes: TextEmbeddings | Classifier
    ) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The most probable class of every pixel of the image as given, and its probability.

        Args:
            encoded: an image.
            classes: texts, or a classifier of this segmentor's space.

        Raises:
            UsageError: where the classes belong to another model or space, or the image was encoded for others.
        """
        threshold: float | None = getattr(classes, "threshold", None)
        background = None if threshold is None else classes.vocabulary.background
        if self.average == "logits":
            labels, best = self.scoring.label_logits(encoded, self._classifier(encoded, classes))
        else:
            labels, best = self.scoring.label(encoded, self.probabilities(encoded, classes), classes)
        if threshold is not None and background is not None:
            labels = labels.masked_fill(best < threshold, background)
        return self.stages.relabel(labels, encoded.features, encoded.plan.boxes), best

    @torch.inference_mode()
    def scores(self, encoded: EncodedImage, classes: TextEmbeddings | Classifier) -> Float32[Tensor, "k H W"]:
        """Probability of every class at every pixel of the image as given; large, 4 bytes × classes × pixels.

        Args:
            encoded: an image.
            classes: texts, or a classifier of this segmentor's space.

        Raises:
            UsageError: where the classes belong to another model or space, or the image was encoded for others.
        """
        if self.average == "logits":
            return self.scoring.of_logits(encoded, self._classifier(encoded, classes))
        return self.scoring.of_probabilities(encoded, self.probabilities(encoded, classes), classes)


def _covered(features: DenseFeatures, plan: WindowPlan) -> WindowPlan:
    """The plan of the windows that features are of: the whole image where a readout made one map of all windows."""
    return plan if len(features.grid) == len(plan) else WindowPlan(plan.size, None)


def _who_reads_regions(dense: DenseEncoder, stages: Stages) -> str | None:
    """The name of the readout or stage that needs the regions of an image; None for none."""
    readers = [dense.readout, *stages]
    return next((one.name for one in readers if getattr(one, "needs", Needs()).regions), None)
