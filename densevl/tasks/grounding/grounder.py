"""The grounder: from an image and expressions to regions.

Encode once, ask as often as you like:

    encoded = grounder.encode(image, boxes)
    grounder.refer(encoded, ["the left dog", "the bowl under the table"])

Source: FGVP (Yang et al., NeurIPS 2023, https://arxiv.org/abs/2306.04356) for the scores, ReCLIP (Subramanian et al.,
ACL 2022, https://arxiv.org/abs/2204.05991) for relations and superlatives: with a relation or superlative in it, the
probability of a region is softmax(scores of the whole expression) · that of the phrase taken apart, divided by the sum.
"""

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from densevl.core.errors import UsageError, shortened
from densevl.core.geometry import suppress
from densevl.core.int8 import dtype_name
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.encoders.contracts import tuned_by
from densevl.regions.composition import composed_regions
from densevl.regions.detectors import DETECTORS
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.pipeline import RegionPipeline
from densevl.regions.proposals import Proposals, as_regions
from densevl.tasks.grounding.grounding import EncodedRegions, Grounding
from densevl.tasks.grounding.parsers import load_parser, parser_name
from densevl.tasks.grounding.phrase import Phrase
from densevl.tasks.grounding.relations import Resolution, Step, resolve
from densevl.tasks.grounding.scoring import Scorer, negative_bank
from densevl.tasks.grounding.taught import NamedRegions, TaughtNoun, TaughtNouns

__all__ = ["Grounder"]

SAME_BOX = 0.7
"""Detections for several phrases of one expression that overlap by more than this IoU are one."""


class Grounder(nn.Module):
    """Finds the region that an expression refers to.

    Args:
        embedders: region embedders, built or configs; the scores of all are added up. Each has the ``encoder`` that
            embeds texts into its space.
        mask_maker: makes masks of boxes, and proposals where none are given; built, a config or None.
        detector: finds proposals by the words of the expression, in the place of the mask maker's; built, a config or
            None.
        top: how many regions the detector gives for each phrase.
        template: text round expressions and negative captions, with ``{}`` in it.
        relations: whether relations and superlatives are taken apart.
        whole: whether the whole expression is scored beside the phrase that is taken apart. A text side that reads
            words and not sentences cannot tell which of two things a sentence is about: there the phrase alone is.
        parser: what takes them apart: ``"rules"``, ``"reclip"``, or as :func:`load_parser` says.
        subtract: whether the mean score of the negative captions is subtracted.
        negatives: the bank of negative captions, see :func:`negative_bank`; None for none.
        negative_count: captions drawn from the bank.
        seed: of the draw.
        calibration: the probabilities are softmax(log p / calibration) of the reference's p. 1 leaves them as they
            are; :func:`fit_temperature` fits it, so that of regions with probability 0.7 seven in ten are right. The
            ranking does not depend on it.
        compose: whether a region scores for the whole expression as composed with the regions of its landmarks; see
            :mod:`densevl.regions.composition`.

    Raises:
        UsageError: where there is no embedder, subtraction has no bank, or a model or the parser is unknown or missing.
    """

    def __init__(
        self,
        embedders: Iterable[Any],
        mask_maker: Any = None,
        detector: Any = None,
        top: int = 10,
        template: str = "a photo of {}",
        relations: bool = True,
        whole: bool = True,
        parser: str | Callable[[str], Phrase] = "rules",
        subtract: bool = False,
        negatives: str | Path | Sequence[str] | None = "neutral",
        negative_count: int = 500,
        seed: int = 0,
        calibration: int | float = 1.0,
        compose: bool = False,
    ) -> None:
        super().__init__()
        self.embedders = _built(REGION_EMBEDDERS, embedders)
        if len(self.embedders) == 0:
            raise UsageError("a grounder needs at least one region embedder")
        if subtract and negatives is None:
            raise UsageError("subtraction needs a bank of negative captions; give negatives='neutral' or your own")
        if not calibration > 0:
            raise UsageError(f"calibration is a temperature above 0; got {calibration}")
        self.mask_maker = build(MASK_MAKERS, mask_maker)
        self.detector = build(DETECTORS, detector)
        self.top, self.template, self.relations, self.whole = top, template, relations, whole
        self.parse = load_parser(parser)
        self.subtract, self.calibration, self.compose = subtract, calibration, compose
        self.bank = None if negatives is None else negative_bank(negatives, negative_count, seed)
        self.scorer = Scorer(self.embedders, template, self.bank)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def to(self, device: Any = None, dtype: Any = None) -> "Grounder":  # type: ignore[override]
        """Move all models to a device and a dtype; a mask maker is no module, and is moved beside them."""
        super().to(device=device, dtype=dtype)
        if self.mask_maker is not None:
            self.mask_maker.to(device, dtype)
        return self

    @property
    def pipelines(self) -> list[RegionPipeline]:
        """The steps from images to region vectors, one pipeline for each embedder; all have the same mask maker."""
        maker = None if self.mask_maker is None else self.mask_maker.to(self.device)
        return [RegionPipeline(embedder, maker) for embedder in self.embedders]

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a ranking, for reports: JSON values only."""
        captions = "\n".join(self.bank.captions) if self.bank else ""
        return {
            "embedders": [{**one.protocol, **tuned_by(one.encoder)} for one in self.embedders],
            "mask_maker": None if self.mask_maker is None else self.mask_maker.model_id,
            "detector": None if self.detector is None else self.detector.name,
            "template": self.template,
            "relations": self.relations,
            **({} if self.whole else {"whole": False}),
            "parser": parser_name(self.parse),
            "subtract": self.subtract,
            "negatives": None
            if self.bank is None
            else [self.bank.name, len(self.bank.captions), hashlib.sha256(captions.encode()).hexdigest()[:12]],
            "calibration": self.calibration,
            **({"compose": True} if self.compose else {}),
            "dtype": dtype_name(self),
        }

    @torch.inference_mode()
    def encode(
        self, image: UInt8[np.ndarray, "H W 3"], proposals: Proposals | None = None, image_name: str | None = None
    ) -> EncodedRegions:
        """Embed the regions of an image.

        Args:
            image: RGB.
            proposals: the candidates; None lets the mask maker propose everything it sees.
            image_name: of the image, to be looked up in a file of proposals.

        Raises:
            UsageError: where there are no proposals, or they do not fit the image.
        """
        return self.encode_batch([image], [proposals], [image_name])[0]

    @torch.inference_mode()
    def encode_batch(
        self,
        images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        proposals: Sequence[Proposals | None],
        image_names: Sequence[str | None] | None = None,
    ) -> list[EncodedRegions]:
        """Embed the regions of several images, together where the embedders can.

        Args:
            images: RGB, of any sizes.
            proposals: the candidates of each image; None lets the mask maker propose everything it sees.
            image_names: name of each image, to be looked up in a file of proposals.

        Raises:
            UsageError: where an image has no proposals, or they do not fit it.
        """
        names = [None] * len(images) if image_names is None else image_names
        return self._embed(images, [self._candidates(*one) for one in zip(images, proposals, names, strict=True)])

    def _candidates(self, image: np.ndarray, proposals: Proposals | None, name: str | None) -> tuple[Regions, str]:
        """The regions of an image, and where they come from."""
        if proposals is not None:
            origin = proposals if isinstance(proposals, str | Path) else "given"
            return as_regions(proposals, image.shape[:2], name), str(origin)
        return self.pipelines[0].propose(image), f"{self.mask_maker.name}, everything"

    def _embed(self, images: Sequence[np.ndarray], candidates: Sequence[tuple[Regions, str]]) -> list[EncodedRegions]:
        for regions, proposals in candidates:
            if len(regions) == 0:
                raise UsageError(f"there is no region to choose from (proposals: {proposals}); give boxes of your own")
        pipelines = self.pipelines
        pairs = zip(images, candidates, strict=True)
        prepared = [pipelines[0].with_masks(image, regions) for image, (regions, _) in pairs]
        every = [pipeline.embed(images, prepared) for pipeline in pipelines]
        return [
            EncodedRegions(regions, embeddings, proposals, image)
            for regions, embeddings, (_, proposals), image in zip(
                prepared, zip(*every, strict=True), candidates, images, strict=True
            )
        ]

    def _detect(self, image: np.ndarray, phrase: Phrase, expression: str) -> EncodedRegions:
        """Regions found by the words of an expression and of its landmarks."""
        found = [self.detector.detect(image, text, top=self.top) for text in phrase.texts or (expression,)]
        boxes = torch.cat([regions.boxes for regions in found])
        scores = torch.cat([regions.scores for regions in found])
        kept = suppress(boxes, scores, SAME_BOX)
        regions = Regions(boxes[kept], image.shape[:2], scores=scores[kept])
        return self._embed([image], [(regions, f"{self.detector.name}, top {self.top} of each phrase")])[0]

    @overload
    def refer(  # type: ignore[overload-overlap]
        self,
        image: UInt8[np.ndarray, "H W 3"] | EncodedRegions,
        expressions: str,
        proposals: Proposals | None = None,
        image_name: str | None = None,
        taught: TaughtNouns | None = None,
    ) -> Grounding: ...
    @overload
    def refer(
        self,
        image: UInt8[np.ndarray, "H W 3"] | EncodedRegions,
        expressions: Sequence[str],
        proposals: Proposals | None = None,
        image_name: str | None = None,
        taught: TaughtNouns | None = None,
    ) -> list[Grounding]: ...
    @torch.inference_mode()
    def refer(
        self,
        image: UInt8[np.ndarray, "H W 3"] | EncodedRegions,
        expressions: str | Sequence[str],
        proposals: Proposals | None = None,
        image_name: str | None = None,
        taught: TaughtNouns | None = None,
    ) -> Grounding | list[Grounding]:
        """Rank the regions of an image by each expression; the image is encoded once for all of them.

        A detector looks for each expression anew, where no proposals are given.

        Args:
            image: RGB, or what :meth:`encode` gave.
            expressions: one, or a list of them.
            proposals: the candidates; None lets the detector or the mask maker propose.
            image_name: of the image, to be looked up in a file of proposals.
            taught: classes that nouns may be; None for none.

        Raises:
            UsageError: where an expression is empty or longer than the text encoder takes, or as :meth:`encode`.
        """
        if isinstance(expressions, str):
            return self.refer(image, [expressions], proposals, image_name, taught)[0]
        if not isinstance(expressions, list | tuple):
            raise UsageError(f"expressions are a text or a list of texts; got {shortened(repr(expressions))}")
        pairs = [(text, self.parse(text)) for text in expressions]
        if not self.relations:
            pairs = [(text, Phrase(text)) for text in expressions]
        if not self.whole:
            pairs = [(text, phrase.specific) for text, phrase in pairs]
        said = [words for text, phrase in pairs for words in ((text, *phrase.texts) if self.whole else phrase.texts)]
        nouns = {} if taught is None else {words: noun for words in said if (noun := taught.noun(words)) is not None}
        read = [words for text, phrase in pairs for words in (self._about(text, phrase, nouns), *phrase.texts)]
        before = [noun.before for noun in nouns.values() if noun.before and self.whole]
        vectors = self.scorer.embed([*(words for words in read if words and words not in nouns), *before])
        if isinstance(image, EncodedRegions):
            encoded = image
        elif proposals is None and self.detector is not None:
            found = [(self._detect(image, phrase, text), text, phrase) for text, phrase in pairs]
            return [self._ground(*one, vectors, self._named(one[0], taught, nouns)) for one in found]
        else:
            encoded = self.encode(image, proposals, image_name)
        named = self._named(encoded, taught, nouns)
        return [self._ground(encoded, text, phrase, vectors, named) for text, phrase in pairs]

    def _named(
        self, encoded: EncodedRegions, taught: TaughtNouns | None, nouns: Mapping[str, TaughtNoun]
    ) -> Mapping[str, NamedRegions]:
        """How each region of an image suits each text about a taught class."""
        return {} if taught is None or not nouns else taught.named(encoded, nouns)

    def _about(self, expression: str, phrase: Phrase, named: Container[str]) -> str:
        """The words that are judged as a whole: the expression, or its noun with what stands before it.

        It is the noun where a text is read word by word, and where a noun is a taught class, which no text model knows.
        """
        taught = phrase.text and any(text in named for text in phrase.texts)
        return phrase.text if taught or not self.whole else expression

    def _ground(
        self,
        encoded: EncodedRegions,
        expression: str,
        phrase: Phrase,
        vectors: Sequence[Mapping[str, Tensor]],
        named: Mapping[str, NamedRegions],
    ) -> Grounding:
        bank = self.scorer.bank_scores(encoded.embeddings)
        subtracted = bank.mean(1) if bank is not None and self.subtract else None

        def parts_of(text: str) -> dict[str, Float[Tensor, " n"]]:
            embeddings, things = encoded.embeddings, phrase.texts
            if self.compose and text == expression and len(things) > 1 and not any(thing in named for thing in things):
                words = [torch.stack([known[thing] for thing in things]) for known in vectors]
                embeddings = tuple(map(composed_regions, embeddings, words))
            return self.scorer.parts_of(embeddings, vectors, text)

        def total(text: str) -> Float[Tensor, " n"]:
            if text in named:
                logs, before = named[text].logs, named[text].before
                return logs + total(before).log_softmax(0) if before and self.whole else logs
            if not text:
                return torch.zeros(len(encoded.regions), dtype=torch.float64)
            parts = parts_of(text)
            scores = torch.stack(list(parts.values())).double().sum(0)
            return scores if subtracted is None else scores - subtracted

        about = self._about(expression, phrase, named)
        scores = total(about)
        whole = scores.softmax(0)
        resolved = Resolution(whole, (Step("whole", whole),))
        if not phrase.simple:
            regions = encoded.regions
            tree = resolve(phrase, regions.boxes.cpu(), lambda text: total(text).softmax(0), regions.size)
            product = whole * tree.probabilities
            product = product / product.sum() if product.sum() > 0 else whole
            resolved = Resolution(product, (*resolved.steps, *tree.steps)) if self.whole else tree
        presence: float | None = None
        parts: Mapping[str, Tensor] = {}
        if about in named:
            presence, parts = named[about].presence, {"taught classes": named[about].logs}
        elif about:
            parts = parts_of(about)
            if not phrase.generic:
                presence = self.scorer.presence(encoded.embeddings, vectors, phrase.text, bank)
        calibration = 1.0 if about in named else self.calibration
        return Grounding(
            expression=expression,
            phrase=phrase,
            regions=encoded.regions,
            parts=parts,
            subtracted=None if about in named else subtracted,
            scores=scores,
            steps=resolved.steps,
            probabilities=(resolved.probabilities.log() / calibration).softmax(0),
            presence=presence,
            proposals=encoded.proposals,
        )


def _built(registry: Any, models: Iterable[Any]) -> Any:
    """Built models, as a module list where they are modules, so that device and dtype reach them."""
    built = [build(registry, model) for model in models]
    return nn.ModuleList(built) if all(isinstance(model, nn.Module) for model in built) else built
