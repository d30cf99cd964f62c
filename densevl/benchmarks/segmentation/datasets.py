"""Data sets for mmsegmentation, whose classes are densevl's vocabularies.

A data set is a vocabulary and a folder layout, both given by its config. Model and data set read
the same vocabulary, so that they cannot disagree on what label 7 means.

The ``pipeline`` of a config is mmsegmentation's. In the place of ``LoadImageFromFile`` and ``LoadAnnotations`` stands
how the data set itself comes by an image and its labels: it draws them, or reads them with densevl's stricter readers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.dataset import Compose

from densevl.benchmarks.segmentation.pipeline import (
    PIPELINE,
    ReadImage,
    ReadLabels,
    Step,
    build_pipeline,
    with_labels,
)
from densevl.benchmarks.segmentation.upstream import DATASETS, BaseSegDataset, SegDataSample
from densevl.core.errors import ImageError, UsageError
from densevl.core.images import read_image
from densevl.core.labelmap import IGNORED
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import CLASSES, GROUNDS, HELD_OUT, Scene, render

__all__ = ["ScenesDataset", "VocabularyDataset"]

RECORDED = ("img_path", "relative_path", "sample_idx", "reduce_zero_label", "ignored")
"""What every sample says of its record, whatever its pipeline packs."""


class _OpenVocabularyDataset(BaseSegDataset):
    """A data set with classes from a vocabulary, whose samples say why they failed."""

    vocabulary: Vocabulary
    title: str
    source: str
    expected: int | None = None
    """Number of images of the whole benchmark, where this one may hold fewer."""
    protocol: Mapping[str, Any] = MappingProxyType({})
    caveats: Sequence[str] = ()

    def _setup(
        self,
        vocabulary: Vocabulary,
        readers: Mapping[str, Step],
        pipeline: Sequence[Any],
        groups: dict[str, list[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocabulary, self.title = vocabulary, vocabulary.name
        metainfo = {"classes": self.vocabulary.names, "palette": [list(c) for c in self.vocabulary.palette]}
        super().__init__(metainfo={**metainfo, "groups": groups or {}}, test_mode=True, serialize_data=False, **kwargs)
        self.METAINFO = metainfo  # some tools of mmsegmentation read it in the place of metainfo
        self.pipeline = Compose(build_pipeline(pipeline, readers))

    def prepare_data(self, idx: int) -> dict[str, Any]:
        """The sample of an image; where it cannot be read, an empty one with the reason in ``failure``."""
        record = self.get_data_info(idx)
        facts = {key: record[key] for key in RECORDED if key in record}
        try:
            made = self.pipeline(record)
        except ImageError as error:
            sample = SegDataSample(metainfo={"failure": str(error), **facts})
            return {"inputs": torch.zeros(3, 0, 0, dtype=torch.uint8), "data_samples": sample}
        samples = made["data_samples"]
        for sample in samples if isinstance(samples, list) else [samples]:  # several, where test time is augmented
            sample.set_metainfo(facts)
        return made


@DATASETS.register_module()
class VocabularyDataset(_OpenVocabularyDataset):
    """Images and label maps in two folders.

    Args:
        vocabulary: name of the built-in vocabulary, or a file.
        data_root: folder of the data; the first folder of ``images`` may be left to it or not.
        images: folder of the images below ``data_root``, searched with its subfolders.
        labels: folder of the label maps, with the same subfolders and names.
        image_suffix: how names of images end.
        label_suffix: what takes the place of ``image_suffix`` in the names of label maps.
        split: text file below ``data_root`` with one name a line; without it every image counts.
        expected: number of images of the whole benchmark.
        cure: what to do where label maps are missing, for the error.
        reduce_zero_label: label 0 is ignored and the others move down by one.
        ignored: label of pixels that do not count; 65535 for more classes than fit 8 bits.
        listed_by: whose files say which images count where there is no ``split``: ``"images"`` or ``"labels"``.
        pipeline: transforms of mmsegmentation.

    Raises:
        UsageError: where the data are not there or not complete, or the pipeline cannot be built.
    """

    def __init__(
        self,
        vocabulary: str,
        data_root: str,
        images: str,
        labels: str,
        image_suffix: str = ".jpg",
        label_suffix: str = ".png",
        split: str | None = None,
        expected: int | None = None,
        cure: str = "",
        reduce_zero_label: bool = False,
        ignored: int = IGNORED,
        listed_by: str = "images",
        pipeline: Sequence[Any] = PIPELINE,
        **kwargs: Any,
    ) -> None:
        if listed_by not in ("images", "labels"):
            raise UsageError(f"listed_by must be images or labels; got {listed_by!r}")
        root = Path(data_root).expanduser()
        if root.name == Path(images).parts[0]:
            root = root.parent
        self.source, self.expected, self.cure = data_root, expected, cure
        self.split_file = None if split is None else root / split
        self.ignored, self.listed_by = ignored, listed_by
        classes = Vocabulary.load(vocabulary)
        if ignored < len(classes):
            raise UsageError(f"{vocabulary}: {ignored} is the label of a class; pixels that do not count need another")
        self._setup(
            classes,
            {"LoadImageFromFile": ReadImage(), "LoadAnnotations": ReadLabels(len(classes), ignored)},
            pipeline,
            img_suffix=image_suffix,
            seg_map_suffix=label_suffix,
            data_prefix={"img_path": str(root / images), "seg_map_path": str(root / labels)},
            reduce_zero_label=reduce_zero_label,
            **kwargs,
        )

    def image(self, idx: int) -> UInt8[np.ndarray, "H W 3"]:
        """The image of a sample, at full size."""
        return read_image(self.get_data_info(idx)["img_path"])

    def load_data_list(self) -> list[dict[str, Any]]:
        """Records of all images, in the order of their names."""
        images, labels = Path(self.data_prefix["img_path"]), Path(self.data_prefix["seg_map_path"])
        names = self._names(images)
        records = [
            {
                "img_path": str(images / f"{name}{self.img_suffix}"),
                "seg_map_path": str(labels / f"{name}{self.seg_map_suffix}"),
                "relative_path": f"{name}{self.img_suffix}",
                "reduce_zero_label": self.reduce_zero_label,
                "ignored": self.ignored,
            }
            for name in names
        ]
        for key, what in (("img_path", "images"), ("seg_map_path", "label maps")):
            missing = [record[key] for record in records if not Path(record[key]).is_file()]
            if missing:
                raise UsageError(
                    f"{self.vocabulary.name}: {len(missing)} of {len(records)} {what} are missing, such as {missing[0]}"
                    + (f"; {self.cure}" if self.cure else "")
                )
        return records

    def _names(self, images: Path) -> list[str]:
        """Paths of the images below their folder, without suffix."""
        if not images.is_dir():
            raise UsageError(f"{self._layout()}; there is no folder {images}")
        if self.split_file is None:
            by_labels = self.listed_by == "labels"
            folder = Path(self.data_prefix["seg_map_path"]) if by_labels else images
            suffix = self.seg_map_suffix if by_labels else self.img_suffix
            found = (path.relative_to(folder).as_posix() for path in folder.rglob(f"*{suffix}"))
            names = sorted(path.removesuffix(suffix) for path in found)
        elif self.split_file.is_file():
            names = [line.strip() for line in self.split_file.read_text().splitlines() if line.strip()]
        else:
            raise UsageError(f"{self._layout()}; there is no file {self.split_file}")
        if not names:
            raise UsageError(f"{self._layout()}; there are none")
        return names

    def _layout(self) -> str:
        images, labels = self.data_prefix["img_path"], self.data_prefix["seg_map_path"]
        listed = f", listed in {self.split_file}" if self.split_file else ""
        return (
            f"{self.vocabulary.name}: expected images {images}/*{self.img_suffix} and label maps "
            f"{labels}/*{self.seg_map_suffix}{listed}; set --cfg-options data_root=FOLDER"
        )


class _DrawImage:
    """Draw the scene of a record in the place of reading an image."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size

    def scene(self, index: int) -> Scene:
        """The scene of a number."""
        return render(self.seed, index, size=self.size, split="val")

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        scene = self.scene(results["scene"])
        size = scene.image.shape[:2]
        image = np.ascontiguousarray(scene.image[..., ::-1])  # BGR, as mmsegmentation has it
        return {**results, "img": image, "img_shape": size, "ori_shape": size, "drawn_labels": scene.labels}


def _drawn_labels(results: dict[str, Any]) -> dict[str, Any]:
    """The labels that were drawn with the image, at full size."""
    return with_labels(results, results["drawn_labels"].astype(np.int64))


@DATASETS.register_module()
class ScenesDataset(_OpenVocabularyDataset):
    """Held-out scenes, drawn while they are needed.

    Scores are grouped into grounds, pairs of shape and colour that training has seen, and pairs that it never saw.

    Args:
        seed: number of the collection.
        length: number of scenes.
        size: side of the square images.
        pipeline: transforms of mmsegmentation.
    """

    def __init__(
        self,
        seed: int = 1,
        length: int = 500,
        size: int = 128,
        pipeline: Sequence[Any] = PIPELINE,
        **kwargs: Any,
    ) -> None:
        self.length = self.expected = length
        self.source = "drawn while needed"
        self.draw = _DrawImage(seed, size)
        pairs = range(len(GROUNDS), len(CLASSES))
        unseen = [label for label in pairs if tuple(CLASSES[label].split()) in HELD_OUT]
        groups = {
            "grounds": list(range(len(GROUNDS))),
            "seen pairs": [label for label in pairs if label not in unseen],
            "never-seen pairs": unseen,
        }
        readers: dict[str, Step] = {"LoadImageFromFile": self.draw, "LoadAnnotations": _drawn_labels}
        self._setup(Vocabulary.load("scenes"), readers, pipeline, groups, **kwargs)
        if self.vocabulary.names != CLASSES:
            raise UsageError("the vocabulary `scenes` names other classes than the scenes show")

    def image(self, idx: int) -> UInt8[np.ndarray, "H W 3"]:
        """The image of a sample."""
        return self.scene(idx).image

    def scene(self, idx: int) -> Scene:
        """The scene of a sample, with everything that is known of it."""
        return self.draw.scene(self.get_data_info(idx)["scene"])

    def load_data_list(self) -> list[dict[str, Any]]:
        """Records of all scenes; their paths are the names under which results are saved."""
        return [
            {"scene": index, "img_path": f"scenes/{index:06d}.png", "relative_path": f"{index:06d}.png"}
            for index in range(self.length)
        ]
