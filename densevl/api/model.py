"""A loaded model: segmentor, grounder and region embedder, with the conveniences of reading images and words."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from densevl.api.models import models
from densevl.api.ranking import RankableModel
from densevl.api.teaching import ImageSource, file_name
from densevl.api.tuning import TunableModel
from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import Classifier
from densevl.classifiers.familiarity import Familiarity
from densevl.core.background import Background
from densevl.core.errors import UsageError, shortened
from densevl.core.features import TextEmbeddings, TextVectors
from densevl.core.image_windows import open_windows
from densevl.core.images import as_image
from densevl.core.labelmap import LabelMap
from densevl.core.lazy import Lazy
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.transfers import download
from densevl.core.understood import Understood
from densevl.core.vocabulary import Vocabulary, templates
from densevl.encoders.contracts import understand
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.regions.pipeline import RegionPipeline
from densevl.regions.proposals import Proposals, as_regions, grid_regions
from densevl.tasks.grounding.grounder import Grounder
from densevl.tasks.grounding.grounding import EncodedRegions, Grounding
from densevl.tasks.segmentation.contracts import LabelMaker
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.pooling import pool_cells
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.taught import TaughtLabels
from densevl.tasks.segmentation.tiles import Tiling, label_tiles

__all__ = ["ClassesLike", "ImageSource", "Model"]

ClassesLike = str | Sequence[str | Sequence[str]] | Vocabulary | TextEmbeddings | Classifier | Classes | TaughtLabels
"""``"cat, sofa|couch"``, ``["cat", ["sofa", "couch"]]``, a vocabulary, what :meth:`Model.embed_classes` gave, classes
that :meth:`Model.teach` or :meth:`Model.read_classes` gave, or a classifier such as
:class:`densevl.classifiers.gda.GDA` fits."""

TOGETHER = 8
"""Images whose regions :meth:`Model.embed` embeds at once."""


Later = Lazy[Any] | Callable[[], Any]
"""A function that builds a component of a model when it is first used; it may return None."""


class Model(TunableModel, RankableModel):
    """A segmentor, a grounder, a region embedder or several of them, with the conveniences of reading images and words.

    Each component is built, or a :class:`densevl.core.lazy.Lazy` or a function without arguments that builds it when
    it is first used, or None.

    Args:
        segmentor: makes label maps.
        name: what reports call the model.
        grounder: finds what expressions refer to.
        embedder: turns regions into vectors.
        mask_maker: proposes regions and makes their masks; None for that of segmentor or grounder.
        query_templates: what texts are set into by :meth:`embed_texts`; None for those of segmentor or grounder.
        known: tells images of the kind that the model knows from others; None where nobody says what it knows.
    """

    def __init__(
        self,
        segmentor: LabelMaker | Later | None,
        name: str = "custom",
        grounder: Grounder | Later | None = None,
        embedder: RegionEmbedder | Later | None = None,
        mask_maker: MaskMaker | Later | None = None,
        query_templates: Sequence[str] | None = None,
        known: Familiarity | Later | None = None,
    ) -> None:
        self._segmentor: Lazy[LabelMaker | None] = _lazy(segmentor, LabelMaker)
        self._grounder: Lazy[Grounder | None] = _lazy(grounder, Grounder)
        self._embedder: Lazy[RegionEmbedder | None] = _lazy(embedder, RegionEmbedder)
        self._mask_maker: Lazy[MaskMaker | None] = _lazy(mask_maker, MaskMaker)
        self._known: Lazy[Familiarity | None] = _lazy(known, Familiarity)
        self._pipeline = RegionPipeline(Lazy(lambda: self.embedder), Lazy(lambda: self.mask_maker))
        self.name, self._templates = name, query_templates
        self._texts: dict[tuple[Vocabulary, str], TextEmbeddings] = {}

    def __repr__(self) -> str:
        """The components that have been built so far; none is built for it."""
        segmentor = self._segmentor.value if self._segmentor.made else None
        if segmentor is not None:
            return f"Model({self.name!r}, encoder={segmentor.encoder.model_id!r}, device={segmentor.device})"
        grounder = self._grounder.value if self._grounder.made else None
        return f"Model({self.name!r}, {f'grounder, device={grounder.device}' if grounder else 'not built yet'})"

    @property
    def segmentor(self) -> LabelMaker:
        """The segmentor, which makes label maps.

        Raises:
            UsageError: where the model only finds regions.
        """
        if self._segmentor.value is None:
            raise UsageError(f"model {self.name!r} finds regions and labels no pixels; take one such as maskclip")
        return self._segmentor.value

    @property
    def labels_pixels(self) -> bool:
        """True where the model has a segmentor; nothing is built for it."""
        return not self._segmentor.made or self._segmentor.value is not None

    @property
    def grounder(self) -> Grounder:
        """The grounder, which finds the regions that expressions refer to.

        Raises:
            UsageError: where the model only labels pixels.
        """
        if self._grounder.value is None:
            able = ", ".join(name for name, entry in models().items() if entry.grounder)
            raise UsageError(f"model {self.name!r} labels pixels and tells no regions apart; take one of {able}")
        return self._grounder.value

    @property
    def embedder(self) -> RegionEmbedder:
        """The region embedder, which turns regions into vectors.

        Raises:
            UsageError: where the model has no region embedder.
        """
        if self._embedder.value is None:
            raise UsageError(
                f"model {self.name!r} was put together without a region embedder; give one, or load a model"
            )
        return self._embedder.value

    @property
    def mask_maker(self) -> MaskMaker | None:
        """The mask maker, which proposes regions and makes masks of boxes; None for none."""
        if self._mask_maker.value is not None:
            return self._mask_maker.value
        segmentor = self._segmentor.value
        if isinstance(segmentor, RegionSegmentor) and segmentor.mask_maker is not None:
            return segmentor.mask_maker
        return None if self._grounder.value is None else self._grounder.value.mask_maker

    @property
    def pipeline(self) -> RegionPipeline:
        """What proposes regions, makes their masks and embeds them, each part built when it is first used."""
        return self._pipeline

    @property
    def known(self) -> Familiarity | None:
        """What tells images of the kind that the model knows from others; None where nobody says what it knows."""
        return self._known.value

    @known.setter
    def known(self, known: Familiarity | None) -> None:
        self._known = Lazy.of(known)

    @overload
    def familiarity(self, images: ImageSource | EncodedImage) -> float: ...  # type: ignore[overload-overlap]
    @overload
    def familiarity(self, images: Sequence[ImageSource | EncodedImage]) -> list[float]: ...
    def familiarity(
        self, images: ImageSource | EncodedImage | Sequence[ImageSource | EncodedImage]
    ) -> float | list[float]:
        """The p-value of an image, or of each of a list, for being of the kind that the model knows.

        It is the fraction of images of that kind that look at least as unusual. Up to ``model.known.level`` an image
        does not look like one of them, and what the model says of it means nothing.

        Args:
            images: images, or encoded ones, which are not encoded again.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where nobody says what the model knows.
        """
        if not isinstance(images, list | tuple):
            return self.familiarity([images])[0]  # type: ignore[list-item]
        known = self.known
        if known is None:
            raise UsageError(
                f"nobody says what kind of images model {self.name!r} knows; show it some: "
                "model.known = model.learn_known(images)"
            )
        return known.p_values(self._summaries(images)) if images else []

    @property
    def encoder_id(self) -> str:
        """Identity of the encoder that looks at whole images."""
        return str(self.viewer.encoder.model_id)

    @property
    def view(self) -> dict[str, Any]:
        """How it looks at whole images, everything that decides :meth:`familiarity`: JSON values only."""
        return dict(self.viewer.view)

    def learn_known(self, images: Sequence[ImageSource | EncodedImage], what: str = "known images") -> Familiarity:
        """What tells images like these from others, by this model's own features; give it to :attr:`known`.

        Args:
            images: of the kind that the model is to be used on, 20 or more; the more, the surer.
            what: the kind in words.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where there are too few.
        """
        return Familiarity.fit(self._summaries(images), self.encoder_id, what)

    def _summaries(self, images: Sequence[ImageSource | EncodedImage]) -> Float[Tensor, "n c"]:
        """What images look like in short; encoded ones are not encoded again."""
        found = [image.summary if isinstance(image, EncodedImage) else None for image in images]
        for place, image in enumerate(images):
            if found[place] is None:
                pixels = image.image if isinstance(image, EncodedImage) else as_image(image)
                if pixels is None:
                    raise UsageError("the image was encoded without what tells its kind; encode it again")
                found[place] = self.viewer.summarise([pixels])[0]
        return torch.stack([summary for summary in found if summary is not None])

    @cached_property
    def viewer(self) -> Any:
        """What looks at whole images: the segmentor, or one of the encoder that marks or pools regions."""
        segmentor = self._segmentor.value
        if isinstance(segmentor, Segmentor | RegionSegmentor):
            return segmentor
        grounder = self._grounder.value
        holder = segmentor or (self.embedder if grounder is None else grounder.embedders[0])
        encoder: Any = getattr(holder.encoder, "encoder", holder.encoder)  # that of a prompter stands inside of it
        return Segmentor(encoder, templates="none", short_side=min(encoder.image_size), window=None)

    @overload
    def refer(  # type: ignore[overload-overlap]
        self,
        image: ImageSource | EncodedRegions,
        expressions: str,
        proposals: Proposals | None = None,
        classes: Classes | None = None,
    ) -> Grounding: ...
    @overload
    def refer(
        self,
        image: ImageSource | EncodedRegions,
        expressions: Sequence[str],
        proposals: Proposals | None = None,
        classes: Classes | None = None,
    ) -> list[Grounding]: ...
    def refer(
        self,
        image: ImageSource | EncodedRegions,
        expressions: str | Sequence[str],
        proposals: Proposals | None = None,
        classes: Classes | None = None,
    ) -> Grounding | list[Grounding]:
        """Find the region that an expression refers to, such as "the left dog".

        Args:
            image: an image, or one whose regions :meth:`encode_regions` embedded.
            expressions: one, or a list of them, for which the image is encoded once.
            proposals: what to choose from: regions, boxes "n 4" (xyxy), bool masks "n H W", or a JSON file of boxes;
                None lets the model's mask maker or detector propose.
            classes: taught for regions; a noun that is the name of one means what was taught.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where an expression is empty or too long, there are no usable proposals, or the classes were
                taught for another model.
        """
        taught = None if classes is None else self.taught_nouns(classes)
        if isinstance(image, EncodedRegions):
            return self.grounder.refer(image, expressions, taught=taught)
        return self.grounder.refer(as_image(image), expressions, proposals, file_name(image), taught)

    def encode_regions(self, image: ImageSource, proposals: Proposals | None = None) -> EncodedRegions:
        """Embed the regions of an image, for any number of expressions with :meth:`refer`.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where there are no usable proposals.
        """
        return self.grounder.encode(as_image(image), proposals, file_name(image))

    @overload
    def encode(self, images: ImageSource) -> EncodedImage: ...  # type: ignore[overload-overlap]
    @overload
    def encode(self, images: Sequence[ImageSource]) -> list[EncodedImage]: ...
    def encode(self, images: ImageSource | Sequence[ImageSource]) -> EncodedImage | list[EncodedImage]:
        """Encode one image or a list of them, for any number of vocabularies.

        Raises:
            ImageError: where an image cannot be read.
        """
        if not isinstance(images, list | tuple):
            return self.encode([images])[0]  # type: ignore[list-item]
        return list(self.segmentor.encode([as_image(image) for image in images]))

    @overload
    def grid(self, images: ImageSource, side: int = 3) -> Float32[np.ndarray, "d {side} {side}"]: ...  # type: ignore[overload-overlap]
    @overload
    def grid(self, images: Sequence[ImageSource], side: int = 3) -> Float32[np.ndarray, "n d {side} {side}"]: ...
    @torch.inference_mode()
    def grid(self, images: Any, side: int = 3) -> Any:
        """Dense features of an image, or of each of a list, on a grid of one size whatever the size of the image.

        Each cell has the mean of the unit vectors of its patches, so that numbers lie in [-1, 1]: an observation for a
        policy, a probe or a recurrent network.

        Args:
            images: an image, or a list of images of any sizes.
            side: rows and columns of the grid; cells that are smaller than patches have the vectors of these.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the side is below 1, or the model encodes images together with their classes.
        """
        if not isinstance(images, list | tuple):
            return self.grid([images], side)[0]
        if side < 1:
            raise UsageError(f"side: a grid has at least one row and one column; got {side}")
        dense = self.dense
        encoded = dense.encode([as_image(image) for image in images])
        pooled = [pool_cells(one, F.normalize(one.features.grid.float(), dim=1), (side, side)) for one in encoded]
        shape = (0, dense.encoder.dim, side, side)
        return torch.stack(pooled).cpu().numpy() if pooled else np.zeros(shape, np.float32)

    @overload
    def segment(  # type: ignore[overload-overlap]
        self,
        images: ImageSource | EncodedImage,
        classes: ClassesLike,
        *,
        background: Any = None,
        scores: bool = False,
        tiling: Tiling | int | None = None,
    ) -> LabelMap: ...
    @overload
    def segment(
        self,
        images: Sequence[ImageSource | EncodedImage],
        classes: ClassesLike,
        *,
        background: Any = None,
        scores: bool = False,
        tiling: Tiling | int | None = None,
    ) -> list[LabelMap]: ...
    def segment(
        self,
        images: ImageSource | EncodedImage | Sequence[ImageSource | EncodedImage],
        classes: ClassesLike,
        *,
        background: Any = None,
        scores: bool = False,
        tiling: Tiling | int | None = None,
    ) -> LabelMap | list[LabelMap]:
        """Give every pixel the class that suits it best.

        Args:
            images: an image, an encoded image, or a list of them.
            classes: the class names, synonyms grouped.
            background: what becomes of pixels that show none of the classes: None (the model's own mode), ``"none"``,
                ``"literal"``, words such as ``["sky", "wall"]`` or ``"words"`` for a built-in list, or a threshold in
                (0, 1). See :class:`densevl.Background`.
            scores: also return the probability of every class at every pixel (k, H, W).
            tiling: how images are cut into tiles that are labelled by themselves, or their side in pixels; None labels
                each image as a whole. Memory then does not grow with the image, and a GeoTIFF is read tile by tile.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the classes or the background cannot be used.
        """
        if not isinstance(images, list | tuple):
            return self.segment([images], classes, background=background, scores=scores, tiling=tiling)[0]  # type: ignore[list-item]
        if isinstance(classes, Classes):
            classes = self.read_classes(classes, background)
        segmentor: LabelMaker
        texts: TextEmbeddings | Classifier
        if isinstance(classes, TaughtLabels):
            segmentor, texts = classes.segmentor, classes.classifier
        else:
            segmentor = self.segmentor
            texts = classes if isinstance(classes, Classifier) else self.embed_classes(classes, background)
        if tiling is not None:
            if scores:
                raise UsageError("tiles are labelled one by one, and their scores are not kept; leave out scores")
            cut = self.tiling(tiling) if isinstance(tiling, int) else tiling
            return [self._label_tiles(image, segmentor, texts, cut) for image in images]
        fresh = [as_image(image) for image in images if not isinstance(image, EncodedImage)]
        made_for = texts if segmentor.encodes_for_texts and isinstance(texts, TextEmbeddings) else None
        encoded = iter(segmentor.encode(fresh, made_for))
        seen = [image if isinstance(image, EncodedImage) else next(encoded) for image in images]
        return self._label(seen, segmentor, texts, scores)

    def embed_classes(self, classes: ClassesLike, background: Any = None) -> TextEmbeddings:
        """Embed a vocabulary; the last few are remembered."""
        if isinstance(classes, TextEmbeddings):
            return classes
        if isinstance(classes, Classifier | Classes | TaughtLabels):
            raise UsageError("a classifier is used as it is; it has no texts to embed")
        vocabulary = Vocabulary.of(classes)
        key = (vocabulary, str(Background.parse(background)) if background is not None else "")
        if key not in self._texts:
            while len(self._texts) >= 8:
                self._texts.pop(next(iter(self._texts)))
            self._texts[key] = self.segmentor.embed(vocabulary, background)
        return self._texts[key]

    def read_words(self, classes: ClassesLike, background: Any = None) -> Understood | None:
        """How the model reads class names; None for a model that takes any text.

        A model such as ``photo`` knows certain words. What this gives says what it makes of each name, what of it is
        not used, and which names it does not know; its ``remarks`` say so in a line each.

        Args:
            classes: as :meth:`segment` takes them.
            background: as :meth:`segment` takes it.

        Raises:
            UsageError: where the classes or the background cannot be used.
        """
        if isinstance(classes, TextEmbeddings | Classifier | Classes | TaughtLabels):
            return None
        return self.segmentor.understood(Vocabulary.of(classes), background)

    def read_texts(self, texts: Sequence[str]) -> Understood | None:
        """As :meth:`read_words`, of texts that regions are searched or referred to by."""
        built = self._grounder.made and self._grounder.value is not None
        encoder = self.grounder.embedders[0].encoder if built else self.embedder.encoder
        unique = dict.fromkeys(texts)
        return understand(encoder, [(text, index) for index, text in enumerate(unique)], tuple(unique))

    def propose(self, image: ImageSource) -> Regions:
        """Regions of an image, found without any words: everything that the mask maker sees, the best first.

        A model without a mask maker gives a grid of boxes of three sizes.

        Raises:
            ImageError: where the image cannot be read.
        """
        pixels = as_image(image)
        return grid_regions(pixels.shape[:2]) if self.mask_maker is None else self._pipeline.propose(pixels)

    @overload
    def embed(self, images: ImageSource, regions: Proposals | None = None) -> RegionEmbeddings: ...  # type: ignore[overload-overlap]
    @overload
    def embed(
        self, images: Sequence[ImageSource], regions: Sequence[Proposals | None] | str | Path | None = None
    ) -> list[RegionEmbeddings]: ...
    @torch.inference_mode()
    def embed(self, images: Any, regions: Any = None) -> RegionEmbeddings | list[RegionEmbeddings]:
        """Embed regions of one image or of a list of images: unit vectors, to be compared with :meth:`embed_texts`.

        Args:
            images: an image or a list of them, which are encoded together where the embedder can do that.
            regions: regions, boxes "n 4" (xyxy), bool masks "n H W", or a JSON file of boxes; with a list of images a
                list of these, or one file. None takes those of :meth:`propose`.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the regions do not fit the image, or need masks that nothing can make.
        """
        if not isinstance(images, list | tuple):
            return self.embed([images], [regions])[0]
        given = [regions] * len(images) if regions is None or isinstance(regions, str | Path) else list(regions)
        if len(given) != len(images):
            raise UsageError(f"give regions for each of the {len(images)} images; got {len(given)}")
        arrays, found = [as_image(image) for image in images], []
        for image, pixels, some in zip(images, arrays, given, strict=True):
            name = file_name(image)
            found.append(self.propose(pixels) if some is None else as_regions(some, pixels.shape[:2], name))
        batches = [slice(i, i + TOGETHER) for i in range(0, len(arrays), TOGETHER)]
        return [vectors for batch in batches for vectors in self.embed_regions(arrays[batch], found[batch])]

    def embed_regions(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEmbeddings]:
        """Embed the regions of each of several images, of none or more regions.

        Args:
            images: RGB, of any sizes.
            regions: of each image.

        Raises:
            UsageError: where the regions are of another image, or need masks that nothing can make.
        """
        return self._pipeline.embed(images, regions)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> TextVectors:
        """Embed texts as unit vectors, to be compared with the regions of :meth:`embed`.

        They are set into the templates that the model segments or grounds with.

        Raises:
            UsageError: where there is no text, or one is blank or too long.
        """
        if isinstance(texts, str):
            raise UsageError(f"texts must be a list; got the text {texts!r}: write [{texts!r}]")
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"texts must be a list of texts; got {shortened(repr(texts))}")
        encoder = self.embedder.encoder
        vectors = encoder.embed_texts(list(texts), list(self.query_templates))
        return TextVectors(vectors, tuple(texts), encoder.model_id)

    @property
    def query_templates(self) -> tuple[str, ...]:
        """The templates that :meth:`embed_texts` sets texts into: those of the segmentor, or of the grounder."""
        if self._templates is not None:
            return tuple(self._templates)
        if self._segmentor.value is not None:
            return tuple(templates(self._segmentor.value.templates))
        return ("{}",) if self._grounder.value is None else (self._grounder.value.template,)

    def _familiarity_of(self, encoded: EncodedImage, segmentor: LabelMaker) -> float:
        """The familiarity of an image that this model's segmentor or another one has encoded."""
        own = getattr(segmentor, "view", None) == self.view
        return self.familiarity(encoded if own or encoded.image is None else encoded.image)

    def _label(
        self, encoded: Sequence[EncodedImage], segmentor: LabelMaker, texts: TextEmbeddings | Classifier, scores: bool
    ) -> list[LabelMap]:
        """Label maps of encoded images, which come from a GPU together."""
        found = download([values for one in encoded for values in segmentor.label(one, texts)])
        return [
            LabelMap(
                labels,
                texts.vocabulary,
                image=one.image,
                best=best,
                scores=segmentor.scores(one, texts) if scores else None,
                familiarity=None if self.known is None else self._familiarity_of(one, segmentor),
            )
            for one, labels, best in zip(encoded, found[::2], found[1::2], strict=True)
        ]

    def tiling(self, side: int, overlap: int | None = None) -> Tiling:
        """How large images are cut into tiles for :meth:`segment`.

        Args:
            side: of a tile in pixels of the image as given.
            overlap: of neighbours in pixels; None for an eighth of the side.

        Raises:
            UsageError: where tiles would not cover an image.
        """
        windows = getattr(self.segmentor, "window", None), getattr(self.segmentor, "stride", None)
        fits = self.segmentor.short_side is None and all(isinstance(one, int) for one in windows)
        return Tiling(side, overlap, windows if fits else None)  # type: ignore[arg-type]

    def _label_tiles(
        self,
        source: ImageSource | EncodedImage,
        segmentor: LabelMaker,
        texts: TextEmbeddings | Classifier,
        tiling: Tiling,
    ) -> LabelMap:
        """An image labelled tile by tile."""
        if isinstance(source, EncodedImage):
            raise UsageError("the image was encoded as a whole, and is not cut into tiles; give the image itself")
        made_for = texts if segmentor.encodes_for_texts and isinstance(texts, TextEmbeddings) else None

        def label(pixels: UInt8[np.ndarray, "h w 3"]) -> tuple[np.ndarray, np.ndarray]:
            labels, best = segmentor.label(segmentor.encode([pixels], made_for)[0], texts)
            return labels.cpu().numpy(), best.cpu().numpy()

        with open_windows(source) as image:
            labels, best = label_tiles(tiling, image.size, image.read, label)
            kind = None if self.known is None or image.pixels is None else self.familiarity(image.pixels)
            return LabelMap(labels, texts.vocabulary, image.pixels, best, familiarity=kind)


def _lazy(component: Any, kind: type) -> Lazy[Any]:
    """A component of a kind, wrapped unless it is lazy; a Module or an instance of the kind is never called."""
    if isinstance(component, Lazy):
        return component
    makes = callable(component) and not isinstance(component, (nn.Module, kind))
    return Lazy(component) if makes else Lazy.of(component)
