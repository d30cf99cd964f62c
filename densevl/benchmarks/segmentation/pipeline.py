"""The steps from a file to a sample, as mmsegmentation's pipelines chain them.

The protocol: read the image, *then* the labels, which therefore keep their full size whatever is done to the image; the
model resizes what the pipeline has not resized; scores are computed at full size.

Convention: an image is uint8 BGR (H, W, 3), as everywhere in mmsegmentation; see :mod:`.inputs`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from densevl.benchmarks.segmentation.upstream import TRANSFORMS
from densevl.core.errors import ImageError, UsageError
from densevl.core.images import read_image
from densevl.core.labelmap import IGNORED, read_label_map

__all__ = ["PIPELINE", "ReadImage", "ReadLabels", "build_pipeline"]

PIPELINE = ({"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"})
"""The pipeline of a data set whose config names none."""

Step = Callable[[dict[str, Any]], dict[str, Any]]


@TRANSFORMS.register_module()
class ReadImage:
    """Read ``img_path`` with densevl's own reader, in the place of ``LoadImageFromFile``.

    It says of a file that cannot be used what is wrong with it. The channels are BGR, as those of mmcv's reader.
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        image = np.ascontiguousarray(read_image(results["img_path"])[..., ::-1])
        return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}


@TRANSFORMS.register_module()
class ReadLabels:
    """Read ``seg_map_path`` as labels (H, W), as mmsegmentation's ``LoadAnnotations`` does, but counting on nothing.

    Args:
        classes: number of classes; any other value but ``ignored`` means that the labels are of another kind.
        ignored: label of pixels that do not count.

    Raises:
        ImageError: where the file cannot be read, has another size than the image, or holds other labels.
    """

    def __init__(self, classes: int, ignored: int = IGNORED) -> None:
        self.classes, self.ignored = classes, ignored

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results["seg_map_path"]
        labels = read_label_map(path)
        if labels.shape != results["ori_shape"]:
            raise ImageError(f"labels {path} have the shape {labels.shape}; the image has {results['ori_shape']}")
        if results["reduce_zero_label"]:
            labels = np.where((labels == 0) | (labels == self.ignored), self.ignored, labels - 1)
        wrong = np.unique(labels[(labels < 0) | ((labels >= self.classes) & (labels != self.ignored))])
        if wrong.size:
            raise ImageError(
                f"labels {path} hold {wrong[:5].tolist()}, beyond the {self.classes} classes: "
                "raw ids that were not converted?"
            )
        return with_labels(results, labels)


def with_labels(results: Mapping[str, Any], labels: np.ndarray) -> dict[str, Any]:
    """Results with labels (H, W), which the following transforms change with the image."""
    return {**results, "gt_seg_map": labels, "seg_fields": [*results.get("seg_fields", []), "gt_seg_map"]}


def build_pipeline(steps: Sequence[Any], readers: Mapping[str, Step]) -> list[Step]:
    """The transforms of a config, with the readers of a data set in the place of mmsegmentation's.

    Args:
        steps: configs and built transforms; lists of them, as in ``TestTimeAug``, are gone through, too.
        readers: by the name of the transform whose place they take.

    Raises:
        UsageError: where a transform is unknown, or one that is replaced has settings, which nothing would read.
    """
    return [_build(step, readers) for step in steps]


def _build(step: Any, readers: Mapping[str, Step]) -> Any:
    if not isinstance(step, Mapping):
        return step
    name = str(step.get("type"))
    if name in readers:
        if unread := [key for key in step if key != "type"]:
            raise UsageError(f"the data set reads its files itself and takes no {unread[0]!r} of {name}; leave it out")
        return readers[name]
    inner = {"transforms": _replaced(step["transforms"], readers)} if "transforms" in step else {}
    try:
        return TRANSFORMS.build({"_scope_": "mmseg", **step, **inner})  # whatever ran before in this process
    except (TypeError, KeyError, ValueError, AssertionError) as error:
        raise UsageError(f"the transform {name!r} of the pipeline cannot be built: {error}") from error


def _replaced(steps: Any, readers: Mapping[str, Step]) -> Any:
    if isinstance(steps, list | tuple):
        return [_replaced(step, readers) for step in steps]
    return _build(steps, readers)
