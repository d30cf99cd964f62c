"""Files of detected boxes of many images.

The layouts: ReCLIP's dictionary ``{image_id: [[x, y, w, h], …]}``, and lists of records with ``image_id`` and ``bbox``
(COCO's results) or ``box`` (MAttNet's, perhaps below ``dets``). Records with scores come best first.

Convention: the files hold corner, width and height; here boxes are xyxy, half-open.
"""

from collections.abc import Mapping
from pathlib import Path

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.core.geometry import Box
from densevl.datasets.referring.collection import box_of, identity

__all__ = ["read_detections"]


def read_detections(path: str | Path) -> dict[int | str, tuple[Box, ...]]:
    """The boxes of each image; those without area are left out.

    Raises:
        UsageError: where the file is missing or of no such layout.
    """
    path = Path(path).expanduser()
    content = read_json(path)
    try:
        if isinstance(content, Mapping) and isinstance(content.get("dets"), list):
            content = content["dets"]
        if isinstance(content, Mapping):
            pairs = [(identity(image_id), list(bbox)) for image_id, boxes in content.items() for bbox in boxes]
        else:
            if all("score" in record for record in content):
                content = sorted(content, key=lambda record: -float(record["score"]))
            pairs = [(identity(r["image_id"]), list(r["bbox"] if "bbox" in r else r["box"])) for r in content]
        found = [(image_id, box_of(bbox)) for image_id, bbox in pairs]
    except UsageError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, IndexError) as error:
        raise UsageError(
            f"{path} holds no detections ({type(error).__name__}: {error}); expected "
            '{image_id: [[x, y, w, h], …]} or [{"image_id", "bbox", "score"}, …]'
        ) from None
    kept: dict[int | str, list[Box]] = {}
    for image_id, box in found:
        boxes = kept.setdefault(image_id, [])
        if box is not None:
            boxes.append(box)
    return {image_id: tuple(boxes) for image_id, boxes in kept.items()}
