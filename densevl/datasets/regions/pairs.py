"""Data sets of regions and their own words, for retrieval: scenes, records, COCO's format, referring expressions.

The gallery is everything that a data set holds, up to ``most`` regions. Recall falls as it grows, so its size is
printed with the figure. Texts that differ in case or white space alone are the same.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import UInt8
from mmengine.registry import DATASETS

from densevl.core.errors import UsageError
from densevl.core.geometry import Box, Size
from densevl.core.vocabulary import normalised
from densevl.datasets.referring.datasets import ReferringDataset
from densevl.datasets.region_texts.record import RegionTextRecord
from densevl.datasets.region_texts.shards import read_records
from densevl.datasets.regions.annotations import AnnotatedImage, AnnotatedRegion
from densevl.datasets.regions.datasets import HeldOutScenes, NamedRegions, RegionsDataset
from densevl.datasets.scenes.language import region_text

__all__ = ["AnnotatedPairs", "ExpressionPairs", "RecordPairs", "RegionTextPairs", "SceneRegionPairs"]

Described = tuple[str, Size | None, Sequence[tuple[Box, str]]]
"""Name and size of an image, and its boxes with their words."""


class RegionTextPairs(RegionsDataset):
    """Images whose regions carry words of their own."""

    def _pair(self, images: Iterable[Described], most: int | None, indices: int | None) -> None:
        """Take images in their order until there are ``most`` regions; the last image may give some of its regions.

        Raises:
            UsageError: where there is no region at all, or ``most`` is below 1.
        """
        if most is not None and most < 1:
            raise UsageError(f"most must be at least 1; got {most}")
        places: dict[str, int] = {}
        texts: list[str] = []
        taken: list[AnnotatedImage] = []
        count = 0
        for name, size, pairs in islice(images, indices):
            regions = []
            for box, text in pairs[: None if most is None else most - count]:
                place = places.setdefault(normalised(text), len(texts))
                texts += [text] if place == len(texts) else []
                regions.append(AnnotatedRegion(box, place))
            count += len(regions)
            taken.append(AnnotatedImage(name, size, tuple(regions)))
            if count == most:
                break
        if count == 0:
            raise UsageError(f"{self.source}: there is no region with a text")
        self._setup(texts, taken, None)
        limit = "all" if most is None else f"at most {most}"
        self.protocol = {"boxes": "true", "gallery": f"{count} regions, {len(texts)} different texts ({limit})"}


@DATASETS.register_module()
class SceneRegionPairs(HeldOutScenes, RegionTextPairs):
    """Objects of held-out scenes and all that is said of each, such as "small red star on grass".

    Args:
        seed: number of the collection.
        length: number of scenes.
        size: side of the square images.
        most: regions of the gallery; None for all.
        indices: use the first so many scenes only.
    """

    def __init__(
        self, seed: int = 1, length: int = 500, size: int = 128, most: int | None = None, indices: int | None = None
    ) -> None:
        super().__init__("scenes, region texts", seed, length, size)
        self._pair((self._described(index) for index in range(length)), most, indices)

    def _described(self, index: int) -> Described:
        pairs = [(item.box, region_text(item)) for item in self.scene(index).objects]
        return f"scenes/{index:06d}.png", (self.size, self.size), pairs


@DATASETS.register_module()
class RecordPairs(RegionTextPairs):
    """Region-text records, as ``densevl label-regions`` writes them or GRIT has them.

    Args:
        data_root: a folder of shards, a ``.tar`` in the layout of WebDataset, or a ``.parquet``.
        most: regions of the gallery; None for all. Nothing is read beyond the image that fills it.
        title: what reports call it.
        indices: use the first so many images only.

    Raises:
        UsageError: where there are no records or no regions.
        ShardError: where a shard is damaged.
    """

    def __init__(
        self,
        data_root: str,
        most: int | None = 5000,
        title: str = "region-text records",
        indices: int | None = None,
    ) -> None:
        self.title, self.source = title, data_root
        self.records: list[RegionTextRecord] = []
        self._pair(self._described(data_root), most, indices)

    def _described(self, source: str) -> Iterable[Described]:
        for record in filter(lambda record: record.regions, read_records(source)):
            self.records.append(record)
            yield record.key, record.size, [(item.box, item.text) for item in record.regions]

    def picture(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """The image of a record."""
        return self.records[index].read_image()


@DATASETS.register_module()
class AnnotatedPairs(RegionTextPairs):
    """Boxes in the format of COCO with their phrases, true captions or, where they have none, names of categories.

    Args:
        most: regions of the gallery; None for all.
        indices: use the first so many images only.
        where: title, ``data_root``, ``annotations`` and ``image_folder`` of a :class:`NamedRegions`.

    Raises:
        UsageError: where the annotations cannot be used or an image is missing.
    """

    def __init__(self, *, most: int | None = 5000, indices: int | None = None, **where: Any) -> None:
        found = NamedRegions(**where)
        self.title, self.source = found.title, found.source
        described = (
            (image.file_name, image.size, [(region.box, found.texts[region.truth]) for region in image.regions])
            for image in found.images
        )
        self._pair(described, most, indices)


@DATASETS.register_module()
class ExpressionPairs(RegionTextPairs):
    """Objects of RefCOCO, RefCOCO+ or RefCOCOg, each with the first expression that refers to it.

    Args:
        dataset: ``refcoco``, ``refcoco+`` or ``refcocog``.
        data_root: folder of annotations and images.
        split: such as ``val`` or ``testA``.
        most: regions of the gallery; None for all.
        indices: use the first so many images only.
        where: further arguments of :class:`ReferringDataset`, such as ``annotations`` or ``image_folder``.

    Raises:
        UsageError: as :class:`ReferringDataset`.
    """

    def __init__(
        self,
        dataset: str,
        data_root: str,
        split: str = "val",
        most: int | None = 5000,
        indices: int | None = None,
        **where: Any,
    ) -> None:
        found = ReferringDataset(dataset, data_root, split, **{"proposals": "everything", **where})
        self.title, self.source = f"{found.title}, first expressions", found.source
        self.caveats = [caveat for caveat in found.caveats if "COCO train" in caveat]
        described = (
            (found.path(index), image.size, [(ref.box, ref.sentences[0]) for ref in image.refs])
            for index, image in enumerate(found.images)
        )
        self._pair(described, most, indices)
