"""Scenes as files of images, and a COCO data set of what they show."""

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from densevl.datasets.scenes import Scene


def write_photos(folder: Path, scenes: Sequence[Scene]) -> Path:
    """Write three scenes, one of them in a folder below, and ``boxes.json`` beside their folder, which is returned."""
    names = ["a.png", "day1/b.png", "day1/c.png"]
    records, images = [], []
    for number, (name, scene) in enumerate(zip(names, scenes, strict=True)):
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path)
        images.append({"id": number, "file_name": name})
        for x0, y0, x1, y1 in (item.box for item in scene.objects):
            records.append({"image_id": number, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    (folder / "boxes.json").write_text(json.dumps({"images": images, "annotations": records}))
    return folder / "photos"
