"""Reads a COCO file with FiftyOne's importer, without its database, and keeps the masks.

Usage: python fiftyone_coco.py IMAGES LABELS.json OUT.npz. An array of OUT is named ``IMAGE|NUMBER|CLASS``; an image
without objects leaves one of no size, ``IMAGE||``.
"""

import sys
from pathlib import Path

import numpy as np
from fiftyone.utils.coco import COCODetectionDatasetImporter

images, labels, out = (str(Path(argument).absolute()) for argument in sys.argv[1:])
importer = COCODetectionDatasetImporter(data_path=images, labels_path=labels, label_types="segmentations")
kept = {}
with importer:
    for path, metadata, detections in importer:
        name = Path(path).relative_to(images).as_posix()
        kept[f"{name}||"] = np.zeros(0)
        for number, detection in enumerate(detections.detections if detections is not None else []):
            mask = np.zeros((metadata.height, metadata.width), bool)
            x, y = (
                round(value * side)
                for value, side in zip(detection.bounding_box[:2], (mask.shape[1], mask.shape[0]), strict=True)
            )
            height, width = detection.mask.shape
            mask[y : y + height, x : x + width] = detection.mask
            kept[f"{name}|{number}|{detection.label}"] = mask
np.savez(out, **kept)
