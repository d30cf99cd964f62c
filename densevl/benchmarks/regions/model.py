"""A segmentor's regions as models of the runner: which text suits each given box best, and how well each does."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from mmengine.structures import BaseDataElement
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from densevl.benchmarks.parts import BenchmarkModel, as_array
from densevl.benchmarks.regions.answers import choose
from densevl.benchmarks.upstream import MODELS
from densevl.errors import UsageError
from densevl.region_segmentors import RegionSegmentor
from densevl.regions import Regions
from densevl.segmentors import build_segmentor
from densevl.structures import TextVectors
from densevl.vocabulary import templates

__all__ = ["RegionChooser", "RegionRetriever", "fitting"]


@MODELS.register_module()
class RegionChooser(BenchmarkModel):
    """Scores every box of an image with the texts of its data set; the images of a batch are embedded together.

    Args:
        segmentor: a name from ``densevl models`` whose segmentor works by regions, or arguments of
            :class:`densevl.region_segmentors.RegionSegmentor`.
        changes: further arguments of :func:`densevl.segmentors.build_segmentor`.

    Raises:
        UsageError: where the segmentor does not work by regions.
    """

    def __init__(self, segmentor: str | Mapping[str, Any], **changes: Any) -> None:
        super().__init__()
        self.name = segmentor if isinstance(segmentor, str) else "custom"
        built = build_segmentor(segmentor, **changes)
        if not isinstance(built, RegionSegmentor):
            raise UsageError(f"model {self.name!r} does not work by regions; take one whose segmentor does")
        self.segmentor = built
        self.shortened = 0
        self.texts: TextVectors | None = None

    @property
    def protocol(self) -> dict[str, Any]:
        """What decides the answers."""
        wanted = ("encoder", "embedder", "regions", "templates", "dtype")
        protocol = {name: value for name, value in self.segmentor.protocol.items() if name in wanted}
        masks = protocol.pop("regions")
        masks = "filled boxes" if self.segmentor.mask_maker is None else f"{masks}, from the boxes"
        masks = masks if self.segmentor.reads_masks else "not looked at"
        extra = {"shortened_texts": self.shortened} if self.shortened else {}
        return {**protocol, "masks": masks, **extra, "device": str(self.segmentor.device)}

    @torch.inference_mode()
    def prepare(self, dataset: Any) -> None:
        """Embed the texts of the data set; those beyond the context of the text encoder lose their last words."""
        encoder = self.segmentor.embedder.encoder
        forms = templates(self.segmentor.templates)
        texts, self.shortened = fitting(dataset.texts, self.segmentor.encoder, max(forms, key=len))
        self.texts = TextVectors(encoder.embed_texts(texts, forms), tuple(texts), encoder.model_id)

    def answer(self, images: Sequence[Tensor], samples: Sequence[BaseDataElement]) -> None:
        """Compare the regions of the samples with the texts."""
        if self.texts is None:
            raise UsageError("the model was not told its texts; call prepare(dataset) first")
        pictures = [as_array(image) for image in images]
        regions = [self._regions(*pair) for pair in zip(pictures, samples, strict=True)]
        for found, sample in zip(self.segmentor.embed_regions(pictures, regions), samples, strict=True):
            self.keep(sample, found.cosines(self.texts))

    def keep(self, sample: BaseDataElement, cosines: Float[Tensor, "n q"]) -> None:
        """Add ``answers`` to a sample, which text suits each region best."""
        sample.set_field(choose(cosines, sample.regions), "answers")

    def _regions(self, picture: Any, sample: BaseDataElement) -> Regions:
        boxes = torch.tensor([region.box for region in sample.regions]).reshape(-1, 4)
        regions = Regions.from_boxes(boxes, picture.shape[:2])
        return self.segmentor.with_masks(picture, regions) if self.segmentor.reads_masks else regions


@MODELS.register_module()
class RegionRetriever(RegionChooser):
    """Scores every box of an image with all texts, for retrieval both ways; arguments as of the base."""

    def keep(self, sample: BaseDataElement, cosines: Float[Tensor, "n q"]) -> None:
        """Add ``cosines`` to a sample."""
        sample.set_field(cosines, "cosines")


def fitting(texts: Sequence[str], encoder: Any, template: str = "{}") -> tuple[list[str], int]:
    """Texts without the last words that would not fit in the context of the text encoder.

    CLIP cuts such texts anywhere; here they end at a word.

    Args:
        texts: captions or names.
        encoder: a CLIP encoder.
        template: what each is set into.

    Returns:
        The texts, and how many of them lost words.
    """
    tokenizer = encoder.text.tokenizer
    if not isinstance(tokenizer, SimpleTokenizer):
        return list(texts), 0
    room = encoder.model.context_length - 2
    found = []
    for text in texts:
        words = text.split(" ")
        while len(words) > 1 and len(tokenizer.encode(template.replace("{}", " ".join(words)))) > room:
            words.pop()
        found.append(" ".join(words))
    return found, sum(new != old for new, old in zip(found, texts, strict=True))
