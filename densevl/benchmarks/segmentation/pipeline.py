"""The steps from a file to a sample, as mmsegmentation's pipelines chain them.

The protocol: read the image, resize it keeping the ratio, *then* read the labels, which therefore keep their full size;
scores are computed at full size.
"""

from typing import Any

import numpy as np

from densevl.benchmarks.segmentation.upstream import TRANSFORMS
from densevl.core.errors import ImageError
from densevl.core.geometry import resized_size
from densevl.core.images import read_image, resize_image
from densevl.core.labelmap import IGNORED, read_label_map

__all__ = ["META_KEYS", "ReadImage", "ReadLabels", "ResizeShortSide"]

META_KEYS = ("img_path", "relative_path", "sample_idx", "ori_shape", "img_shape", "reduce_zero_label")


@TRANSFORMS.register_module()
class ReadImage:
    """Read ``img_path`` as uint8 RGB (H, W, 3) with densevl's own reader.

    mmcv's reader gives BGR and passes damaged files on as None.
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        image = read_image(results["img_path"])
        return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}


@TRANSFORMS.register_module()
class ResizeShortSide:
    """Resize the image alone, as mmcv's ``Resize(scale=(long_side, short_side), keep_ratio=True)`` does.

    Args:
        short_side: in pixels; None keeps the size.
        long_side: no side exceeds this many pixels.
    """

    def __init__(self, short_side: int | None = 448, long_side: int = 2048) -> None:
        self.short_side, self.long_side = short_side, long_side

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        if self.short_side is None:
            return results
        size = resized_size(results["img"].shape[:2], self.short_side, self.long_side)
        return {**results, "img": resize_image(results["img"], size), "img_shape": size}


@TRANSFORMS.register_module()
class ReadLabels:
    """Read ``seg_map_path`` as labels (H, W), as mmsegmentation's ``LoadAnnotations`` does, but counting on nothing.

    Args:
        classes: number of classes; any other value but 255 means that the labels are of another kind.

    Raises:
        ImageError: where the file cannot be read, has another size than the image, or holds other labels.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results["seg_map_path"]
        labels = read_label_map(path)
        if labels.shape != results["ori_shape"]:
            raise ImageError(f"labels {path} have the shape {labels.shape}; the image has {results['ori_shape']}")
        if results["reduce_zero_label"]:
            labels = np.where((labels == 0) | (labels == IGNORED), IGNORED, labels - 1)
        wrong = np.unique(labels[(labels < 0) | ((labels >= self.classes) & (labels != IGNORED))])
        if wrong.size:
            raise ImageError(
                f"labels {path} hold {wrong[:5].tolist()}, beyond the {self.classes} classes: "
                "raw ids that were not converted?"
            )
        return {**results, "gt_seg_map": labels}
