"""Reads a data set with ultralytics, and keeps what it makes of each image.

Usage: python yolo.py DATA.YAML OUT.npz. An array of OUT is named ``IMAGE|NUMBER|CLASS``; an image without objects
leaves one of no size, ``IMAGE||``, whose value says whether ultralytics found its file of labels.
"""

import sys
from pathlib import Path

import numpy as np
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset, polygon2mask

data = check_det_dataset(sys.argv[1])
found = YOLODataset(img_path=data["train"], data=data, task="segment", augment=False, imgsz=64)
assert sorted(found.im_files) == sorted(label["im_file"] for label in found.labels), "ultralytics dropped an image"
kept = {}
for label in found.labels:
    name = Path(label["im_file"]).relative_to(data["train"]).as_posix()
    kept[f"{name}||"] = np.zeros(0)
    for number, (cls, polygon) in enumerate(zip(label["cls"].ravel(), label["segments"], strict=True)):
        height, width = label["shape"]
        mask = polygon2mask((height, width), [(polygon * (width, height)).ravel()])
        kept[f"{name}|{number}|{data['names'][int(cls)]}"] = mask
for label_file in found.label_files:
    assert Path(label_file).is_file(), f"ultralytics looks for {label_file}"
np.savez(sys.argv[2], **kept)
