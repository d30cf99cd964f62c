"""A segmentor's regions as a model of the runner: which text suits each given box best."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from densevl.benchmarks.parts import BenchmarkModel
from densevl.benchmarks.regions.answers import choose
from densevl.benchmarks.upstream import MODELS
from densevl.errors import UsageError
from densevl.region_segmentors import RegionSegmentor
from densevl.regions import Regions
from densevl.segmentors import build_segmentor
from densevl.vocabulary import templates

__all__ = ["RegionChooser", "fitting"]


@MODELS.register_module()
class RegionChooser(BenchmarkModel):
    """Scores every box of an image with the texts of its data set.

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
        self.register_buffer("texts", torch.zeros(0), persistent=False)

    @property
    def protocol(self) -> dict[str, Any]:
        """What decides the answers."""
        wanted = ("encoder", "embedder", "regions", "templates", "dtype")
        protocol = {name: value for name, value in self.segmentor.protocol.items() if name in wanted}
        masks = protocol.pop("regions")
        extra = {"shortened_texts": self.shortened} if self.shortened else {}
        masks = "filled boxes" if self.segmentor.mask_maker is None else f"{masks}, from the boxes"
        return {**protocol, "masks": masks, **extra, "device": str(self.segmentor.device)}

    @torch.inference_mode()
    def prepare(self, dataset: Any) -> None:
        """Embed the texts of the data set; those beyond the context of the text encoder lose their last words."""
        encoder = self.segmentor.encoder
        forms = templates(self.segmentor.templates)
        texts, self.shortened = fitting(dataset.texts, encoder, max(forms, key=len))
        self.texts = encoder.embed_texts(texts, forms)

    @torch.inference_mode()
    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[BaseDataElement], mode: str = "predict"
    ) -> list[BaseDataElement]:
        """Add ``answers`` to every sample that has a picture.

        Args:
            inputs: uint8 RGB images (3, H, W), each any size.
            data_samples: their regions; those with a ``failure`` are passed on as they are.
            mode: ``"predict"``; these models are not trained here.
        """
        if mode != "predict":
            raise UsageError(f"benchmarks only predict; got mode {mode!r}")
        for image, sample in zip(inputs, data_samples, strict=True):
            if "failure" in sample:
                continue
            picture = image.permute(1, 2, 0).contiguous().cpu().numpy()
            boxes = [region.box for region in sample.regions]
            regions = Regions.from_boxes(torch.tensor(boxes).reshape(-1, 4), picture.shape[:2])
            embeddings = self.segmentor.embed_regions(picture, self.segmentor.with_masks(picture, regions))
            sample.set_field(choose(embeddings.cosines(self.texts), sample.regions), "answers")
        return list(data_samples)


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
