"""A segmentor's regions as benchmark models: the text that suits each given box best, and how well each does."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from densevl.benchmarks.protocols import LoadedModel, as_array
from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.regions import Regions
from densevl.core.vocabulary import templates
from densevl.metrics.choices import choose
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor

__all__ = ["RegionChooser", "RegionRetriever"]


@runtime_checkable
class DescribedRegions(Protocol):
    """Images with boxes, and the texts that may describe them."""

    texts: Sequence[str]


@MODELS.register_module()
class RegionChooser(LoadedModel[DescribedRegions]):
    """Scores every box of an image with the texts of its data set; the images of a batch are embedded together.

    Args:
        model: what :class:`LoadedModel` loads; it must have a segmentor that works by regions.
        changes: further arguments of :func:`densevl.load`.

    Raises:
        UsageError: where the segmentor does not work by regions.
    """

    def __init__(self, model: str | Mapping[str, Any] | None = None, **changes: Any) -> None:
        super().__init__(model, **changes)
        segmentor = self.loaded.segmentor
        if not isinstance(segmentor, RegionSegmentor):
            raise UsageError(f"model {self.name!r} does not work by regions; take one whose segmentor does")
        self.segmentor = segmentor
        self.shortened = 0
        self.texts: TextVectors | None = None

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings that decide the answers."""
        wanted = ("encoder", "embedder", "regions", "templates", "dtype")
        protocol = {name: value for name, value in self.segmentor.protocol.items() if name in wanted}
        masks = protocol.pop("regions")
        masks = "filled boxes" if self.segmentor.mask_maker is None else f"{masks}, from the boxes"
        masks = masks if self.segmentor.reads_masks else "not looked at"
        extra = {"shortened_texts": self.shortened} if self.shortened else {}
        return {**protocol, "masks": masks, **extra, "device": str(self.segmentor.device)}

    @torch.inference_mode()
    def prepare(self, dataset: DescribedRegions) -> None:
        """Embed the texts of the data set; those beyond the context of the text encoder lose their last words."""
        encoder = self.segmentor.embedder.encoder
        forms = templates(self.segmentor.templates)
        texts, self.shortened = self.segmentor.encoder.fit_texts(dataset.texts, max(forms, key=len))
        self.texts = TextVectors(encoder.embed_texts(texts, forms), tuple(texts), encoder.model_id)

    def answer(self, images: Sequence[Tensor], samples: Sequence[BaseDataElement]) -> None:
        """Compare the regions of the samples with the texts."""
        if self.texts is None:
            raise UsageError("the model does not know its texts yet; call prepare(dataset) first")
        arrays = [as_array(image) for image in images]
        regions = [self._regions(*pair) for pair in zip(arrays, samples, strict=True)]
        for found, sample in zip(self.segmentor.embed_regions(arrays, regions), samples, strict=True):
            self.keep(sample, found.cosines(self.texts))

    def keep(self, sample: BaseDataElement, cosines: Float[Tensor, "n q"]) -> None:
        """Add ``answers`` to a sample, which text suits each region best."""
        truths, choices = ([getattr(r, name) for r in sample.regions] for name in ("truth", "choices"))
        sample.set_field(choose(cosines, truths, choices), "answers")

    def _regions(self, image: Any, sample: BaseDataElement) -> Regions:
        boxes = torch.tensor([region.box for region in sample.regions]).reshape(-1, 4)
        regions = Regions.from_boxes(boxes, image.shape[:2])
        return self.segmentor.with_masks(image, regions) if self.segmentor.reads_masks else regions


@MODELS.register_module()
class RegionRetriever(RegionChooser):
    """Scores every box of an image with all texts, for retrieval in both directions."""

    def keep(self, sample: BaseDataElement, cosines: Float[Tensor, "n q"]) -> None:
        """Add ``cosines`` to a sample."""
        sample.set_field(cosines, "cosines")
