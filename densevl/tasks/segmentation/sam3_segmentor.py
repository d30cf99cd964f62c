"""Label maps by SAM 3: each class is asked for by itself, and a pixel takes the one that says "here" most surely.

With σ the probabilities of SAM 3 (:class:`densevl.encoders.sam3.Answers`), the score of a query at a pixel is

    s = presence · max(semantic, max_i mask_i · score_i)

as in SegEarth-OV3 (2025, https://github.com/earth-insights/SegEarth-OV-3); of a class it is the largest of its
queries. Scores of different classes do not sum to 1. What decides further are settings:

* ``screen``: ActiveSAM (2026) first asks all classes of a smaller image, and keeps those of the largest presence;
* ``margin``: its background rule. With s_1 ≥ s_2 the two best scores of a pixel and t the threshold, the pixel is
  background where s_1 · √(s_1 − s_2) < t^1.25. Without it, where s_1 < t.

Differences: scores are combined on SAM 3's own grid and brought to the pixels of the image bilinearly; all instances
count with their scores, none is cut off. The formulas are from descriptions: the code of SegEarth-OV3 has no licence,
and neither was run beside this one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor, nn

from densevl.classifiers.contracts import Classifier
from densevl.core.background import NEUTRAL, Background
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings, check_same_model
from densevl.core.geometry import Size
from densevl.core.images import to_bytes
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary
from densevl.encoders import ENCODERS
from densevl.encoders.sam3 import Phrases, Sam3Encoder
from densevl.tasks.segmentation.contrast import apart
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.streamed import groups_of_classes
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["Sam3EncodedImage", "Sam3Segmentor", "Sam3Texts", "Screen", "class_scores"]


@dataclass(frozen=True)
class Screen:
    """A first look at a smaller image that drops classes.

    Attributes:
        side: of the square that is looked at, in pixels.
        part: of all classes that is kept.
        most: classes that are kept at most.
    """

    side: int = 672
    part: int | float = 0.2
    most: int = 40

    def __post_init__(self) -> None:
        if not (0 < self.part <= 1 and self.most >= 1):
            raise UsageError(f"a screen keeps a part in (0, 1] and at least one class; got {self.part}, {self.most}")

    def keep(self, presence: Float[Tensor, " k"]) -> Bool[Tensor, " k"]:
        """The classes that are kept, those of the largest presence; of equal ones the first."""
        count = min(self.most, ceil(self.part * len(presence)), len(presence))
        best = presence.sort(descending=True, stable=True).indices[:count]
        return torch.zeros_like(presence, dtype=torch.bool).index_fill(0, best, True)


@dataclass(frozen=True, eq=False)
class Sam3Texts(TextEmbeddings):
    """A vocabulary as SAM 3 reads it; ``vectors`` are the mean tokens of the queries, which nothing is compared with.

    Attributes:
        phrases: one for each query.
    """

    phrases: Phrases = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Sam3EncodedImage(EncodedImage):
    """An image as SAM 3 saw it: ask it any vocabulary, any number of times.

    Attributes:
        seen: by the vision tower.
        small: the smaller image of a screen; None without one.
    """

    seen: Any = field(kw_only=True)
    small: Any = field(default=None, kw_only=True)


class Sam3Segmentor(nn.Module):
    """Label maps from class names by SAM 3.

    Args:
        encoder: a built SAM 3 or its config.
        background: background mode where :meth:`embed` is not told another: ``none``, ``threshold:0.5``, or words.
        single: background mode of a single class where nobody names one.
        screen: arguments of a :class:`Screen`; None to ask each class of the image itself.
        margin: whether the margin to the second class counts for the background.
        prompt_batch: queries that are asked together.

    Attributes:
        short_side: None: it stretches images to its own square.
    """

    short_side: int | None = None
    long_side = 2**14
    templates = "none"
    temperature = 1.0
    encodes_for_texts = False

    def __init__(
        self,
        encoder: Any,
        background: Any = None,
        single: Any = "threshold:0.5",
        screen: Screen | Mapping[str, Any] | None = None,
        margin: bool = False,
        prompt_batch: int = 4,
    ) -> None:
        super().__init__()
        self.encoder = build(ENCODERS, encoder)
        if not isinstance(self.encoder, Sam3Encoder):
            raise UsageError(
                "a SAM 3 segmentor reads SAM 3 alone, and no other encoder; leave out what stands behind @"
            )
        self.background = Background.parse(background)
        self.single = self.background if background is not None else Background.parse(single)
        self.screen = Screen(**screen) if isinstance(screen, Mapping) else screen
        self.margin, self.prompt_batch = margin, prompt_batch
        self.refiners = nn.ModuleList()
        self.eval()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.encoder.device

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a label map, for reports: JSON values only."""
        return {
            "encoder": self.encoder.model_id,
            "side": self.encoder.side,
            "score": "presence · max(semantic, instances · scores)",
            "screen": None if self.screen is None else vars(self.screen),
            "margin": self.margin,
            "templates": self.templates,
            "background": str(self.background),
            "single": str(self.single),
            "dtype": str(self.encoder.dtype).removeprefix("torch."),
        }

    def encode(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], texts: TextEmbeddings | None = None
    ) -> list[Sam3EncodedImage]:
        """Encode RGB images, each any size, once for all classes."""
        return [self._encoded(image) for image in images]

    def encode_resized(
        self,
        images: Sequence[Float[Tensor, "3 _ _"] | UInt8[Tensor, "3 _ _"]],
        sizes: Sequence[Size],
        texts: TextEmbeddings | None = None,
    ) -> list[Sam3EncodedImage]:
        """Encode images; their label maps get the given sizes."""
        encoded = self.encode([to_bytes(image) for image in images])
        return [replace(one, size=size, image=None) for one, size in zip(encoded, sizes, strict=True)]

    def _encoded(self, image: UInt8[np.ndarray, "H W 3"]) -> Sam3EncodedImage:
        seen = self.encoder.see(image)
        small = None if self.screen is None else self.encoder.see(image, self.screen.side)
        size = image.shape[0], image.shape[1]
        features = DenseFeatures(seen.fpn_hidden_states[-2], self.encoder.patch_size, self.encoder.model_id)
        return Sam3EncodedImage(features, WindowPlan(size, None), size, image, seen=seen, small=small)

    def mode_of(self, vocabulary: Vocabulary, background: Any = None) -> Background:
        """The background mode that classes are embedded with.

        Raises:
            UsageError: where it needs what SAM 3 does not have.
        """
        alone = len(vocabulary) == 1 and vocabulary.background is None
        own = self.single if alone else self.background
        mode = own if background is None else Background.parse(background)
        if mode.mode in ("head", "others"):
            raise UsageError(
                f"SAM 3 has no background mode `{mode.mode}`; take threshold:0.5, literal, words or contrast"
            )
        return replace(mode, source=mode.source or NEUTRAL) if mode.mode == "contrast" else mode

    def embed(self, vocabulary: Vocabulary, background: Any = None, partly: bool = False) -> Sam3Texts:
        """Read the classes, with the background class that the mode asks for.

        Args:
            vocabulary: the classes.
            background: a background mode; None for its own.
            partly: without effect: SAM 3 reads any text.
        """
        mode = self.mode_of(vocabulary, background)
        vocabulary = mode.extend(vocabulary)
        vocabulary = apart(vocabulary) if mode.mode == "contrast" else vocabulary
        pairs = zip(vocabulary.queries, vocabulary.query_classes, strict=True)
        asked = [(text, owner) for text, owner in pairs if mode.threshold is None or owner != vocabulary.background]
        batches = [asked[start : start + TEXTS] for start in range(0, len(asked), TEXTS)]
        read = [self.encoder.phrases([text for text, _ in batch]) for batch in batches]
        phrases = Phrases(torch.cat([one.tokens for one in read]), torch.cat([one.mask for one in read]))
        counted = phrases.mask[..., None].to(phrases.tokens)
        vectors = F.normalize((phrases.tokens * counted).sum(1) / counted.sum(1), dim=-1)
        owners = torch.tensor([owner for _, owner in asked], device=self.device)
        made = (vectors, owners, vocabulary, self.encoder.model_id, self.templates, mode.threshold)
        return Sam3Texts(*made, phrases=phrases)

    def understood(self, vocabulary: Vocabulary, background: Any = None) -> None:
        """Nothing: SAM 3 reads any text."""

    @torch.inference_mode()
    def scores(self, encoded: EncodedImage, classes: TextEmbeddings | Classifier) -> Float32[Tensor, "k H W"]:
        """The score of every class at every pixel; large, 4 bytes × classes × pixels."""
        texts, image = _checked(encoded, classes)
        result = torch.zeros(len(texts.vocabulary), *encoded.size, device=self.device)
        for members, found in self._groups(image, texts):
            result[members] = found
        return result

    @torch.inference_mode()
    def label(
        self, encoded: EncodedImage, classes: TextEmbeddings | Classifier
    ) -> tuple[Int[Tensor, "H W"], Float32[Tensor, "H W"]]:
        """The class of every pixel, and its score."""
        texts, image = _checked(encoded, classes)
        best, second = torch.zeros(2, *encoded.size, device=self.device)
        labels = torch.zeros(encoded.size, dtype=torch.int64, device=self.device)
        first = True
        for members, found in self._groups(image, texts):
            top = found.topk(min(2, len(found)), dim=0)
            better = (top.values[0] > best) | first
            labels = torch.where(better, members[top.indices[0]], labels)
            second = torch.minimum(best, top.values[0]).maximum(second)
            second = second.maximum(top.values[1]) if len(found) > 1 else second
            best, first = best.maximum(top.values[0]), False
        background, threshold = texts.vocabulary.background, texts.threshold
        if background is not None and threshold is not None:
            sure = best * (best - second).sqrt() if self.margin else best
            labels[sure < (threshold**1.25 if self.margin else threshold)] = background
        return labels, best

    def _groups(
        self, image: Sam3EncodedImage, texts: Sam3Texts
    ) -> Iterator[tuple[Int[Tensor, " m"], Float32[Tensor, "m H W"]]]:
        """Classes that are left after the screen, some at a time, and their scores at the pixels."""
        owners = texts.query_classes.cpu()
        queries = torch.arange(len(owners))
        if self.screen is not None:
            queries = queries[self._kept(image, texts, self.screen)[owners]]
        for members, places in groups_of_classes(owners[queries], image.size):
            chosen = queries[places]
            found = [
                class_scores(self.encoder.ask(image.seen, texts.phrases[some]))
                for some in chosen.to(self.device).split(self.prompt_batch)
            ]
            of_queries = torch.cat(found)
            rows = torch.searchsorted(members, owners[chosen]).to(self.device)
            each = of_queries.new_zeros(len(members), *of_queries.shape[1:])
            each = each.scatter_reduce(0, rows[:, None, None].expand_as(of_queries), of_queries, "amax")
            pixels = F.interpolate(each[:, None], image.size, mode="bilinear", align_corners=False)[:, 0]
            yield members.to(self.device), pixels

    def _kept(self, image: Sam3EncodedImage, texts: Sam3Texts, screen: Screen) -> Bool[Tensor, " k"]:
        """The classes that the screen keeps; those without a query are none."""
        rows = torch.arange(len(texts.phrases), device=self.device).split(self.prompt_batch)
        presence = torch.cat([self.encoder.ask(image.small, texts.phrases[some]).presence for some in rows]).cpu()
        owners = texts.query_classes.cpu()
        asked = owners.unique()
        largest = torch.zeros(len(texts.vocabulary)).scatter_reduce(0, owners, presence, "amax")
        kept = torch.zeros(len(texts.vocabulary), dtype=torch.bool)
        kept[asked] = screen.keep(largest[asked])
        return kept


TEXTS = 64
"""Texts that are read together."""


def class_scores(answers: Any) -> Float[Tensor, "q h w"]:
    """The score of each query at each pixel of SAM 3's grid.

    Args:
        answers: :class:`densevl.encoders.sam3.Answers`.
    """
    instances = (answers.masks * answers.scores[..., None, None]).amax(1)
    return answers.presence[:, None, None] * torch.maximum(answers.semantic, instances)


def _checked(encoded: EncodedImage, classes: TextEmbeddings | Classifier) -> tuple[Sam3Texts, Sam3EncodedImage]:
    """Texts and image of SAM 3.

    Raises:
        UsageError: where they are of something else.
    """
    if not isinstance(classes, Sam3Texts):
        raise UsageError("SAM 3 is asked by texts, and these classes are none that it read; give their names")
    if not isinstance(encoded, Sam3EncodedImage):
        raise UsageError("the image was encoded by another model; encode it with this one")
    check_same_model(encoded.features, classes)
    return classes, encoded
