"""Reads files of annotations with the tools that they are for, and keeps their masks.

Usage: python annotators.py TOOL PATH OUT.npz. An array of OUT is named ``FILE|NUMBER|CLASS``; an image without masks
leaves one of no size, ``FILE||``.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np


def datumaro(path, kind):
    """Everything that datumaro (the library of CVAT's formats) imports."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    found = Dataset.import_from(path, kind)
    for item in sorted(found, key=lambda item: item.id):
        masks = []
        labels = found.categories()[AnnotationType.label]
        height, width = item.media.size if item.media is not None and item.media.size else (0, 0)
        for annotation in item.annotations:
            if annotation.type == AnnotationType.bbox:
                continue  # COCO's boxes come beside the shapes
            if annotation.type == AnnotationType.polygon:
                from pycocotools import mask as coco

                mask = coco.decode(coco.frPyObjects([list(annotation.points)], height, width))[..., 0]
            else:
                mask = annotation.image
            masks.append((labels[annotation.label].name, np.asarray(mask, bool)))
        yield item.id, masks


def label_studio(path):
    """The tasks, with brush masks decoded by the converter of Label Studio, and checked against its configuration."""
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface
    from label_studio_sdk.label_interface.objects import PredictionValue

    interface = LabelInterface((Path(path) / "config.xml").read_text(encoding="utf-8"))
    for task in json.loads((Path(path) / "tasks.json").read_text()):
        masks = []
        assert interface.validate_task({"data": task["data"]})
        (prediction,) = task["predictions"]
        assert interface.validate_prediction({**prediction, "score": prediction.get("score", 0.0)})
        assert PredictionValue(result=prediction["result"])
        for region in prediction["result"]:
            shape = (region["original_height"], region["original_width"], 4)
            pixels = np.asarray(decode_rle(region["value"]["rle"])).reshape(shape)
            assert (pixels == pixels[..., :1]).all()
            masks.append((region["value"]["brushlabels"][0], pixels[..., 3] > 0))
        yield task["data"]["image"], masks


def labelme(path):
    """Every file below a folder, opened with its image, its shapes filled as labelme fills them."""
    import PIL.Image
    from labelme._label_file import read_label_file
    from labelme.utils import shape_to_mask

    for file in sorted(Path(path).rglob("*.json")):
        found = read_label_file(str(file))
        with PIL.Image.open(io.BytesIO(found.image_data)) as image:
            size = (image.height, image.width)
        masks = [
            (shape["label"], shape_to_mask(size, np.array(shape["points"]), shape_type=shape["shape_type"]))
            for shape in found.shapes
        ]
        yield file.relative_to(path).as_posix(), masks


def cvat_masks(path):
    """The masks of a CVAT file as the SDK of CVAT codes them: every code must be what it makes of the mask."""
    from xml.etree import ElementTree

    from cvat_sdk.masks import encode_mask

    for image in ElementTree.parse(path).getroot().iter("image"):
        masks = []
        for mask in image.iter("mask"):
            left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
            counts = [int(count) for count in mask.get("rle").split(",")]
            values = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
            whole = np.zeros((int(image.get("height")), int(image.get("width"))), bool)
            whole[top : top + height, left : left + width] = values
            assert encode_mask(whole) == [*counts, left, top, left + width - 1, top + height - 1]
            masks.append((mask.get("label"), whole))
        yield image.get("name"), masks


READERS = {
    "label-studio": label_studio,
    "labelme": labelme,
    "cvat-sdk": cvat_masks,
    "cvat": lambda path: datumaro(path, "cvat"),
    "coco": lambda path: datumaro(path, "coco_instances"),
    "coco-panoptic": lambda path: datumaro(path, "coco_panoptic"),
}

if __name__ == "__main__":
    tool, path, out = sys.argv[1:]
    kept = {}
    for file, masks in READERS[tool](path):
        kept[f"{file}||"] = np.zeros(0)
        kept.update({f"{file}|{number}|{name}": mask for number, (name, mask) in enumerate(masks)})
    np.savez(out, **kept)
