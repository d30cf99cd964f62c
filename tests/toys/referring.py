"""A small data set of referring expressions, written in every layout that people hold."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from densevl.core.masks import mask_of
from densevl.datasets.referring.annotations import Reference, ReferredImage
from densevl.datasets.scenes import expressions, render

SPLITS = ("val", "val", "testA", "train")


@dataclass(frozen=True)
class Toy:
    """Pictures with objects and refs, as COCO's records and as what importers should make of them.

    Attributes:
        images: COCO's image records.
        annotations: COCO's annotations of all objects.
        refs: the official refs.
        truth: the images with their refs, without candidates.
        pictures: by image id.
    """

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    refs: list[dict[str, Any]]
    truth: list[ReferredImage]
    pictures: dict[int, np.ndarray]

    def instances(self, folder: Path) -> Path:
        path = folder / "instances.json"
        path.write_text(json.dumps({"images": self.images, "annotations": self.annotations, "categories": []}))
        return path

    def save_pictures(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for record in self.images:
            Image.fromarray(self.pictures[record["id"]]).save(folder / record["file_name"], quality=95)
        return folder

    def official(self, folder: Path, dataset: str = "refcoco", by: str = "unc") -> Path:
        place = folder / dataset
        place.mkdir(parents=True)
        self.instances(place)
        path = place / f"refs({by}).p"
        path.write_bytes(pickle.dumps(self.refs, protocol=2))
        return path

    def reclip(self, folder: Path, split: str = "val") -> Path:
        lines = []
        for ref in self.refs:
            if ref["split"] == split:
                anns = [
                    {"id": a["id"], "bbox": a["bbox"]} for a in self.annotations if a["image_id"] == ref["image_id"]
                ]
                name = next(r["file_name"] for r in self.images if r["id"] == ref["image_id"])
                sentences = [{"raw": s["raw"]} for s in ref["sentences"]]
                told = {key: ref[key] for key in ("image_id", "ann_id", "ref_id")}
                lines.append({**told, "file_name": name, "anns": anns, "sentences": sentences})
        path = folder / f"refcoco_{split.lower()}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def mdetr(self, folder: Path, split: str = "val") -> Path:
        images, annotations = [], []
        for ref in (ref for ref in self.refs if ref["split"] == split):
            record = next(r for r in self.images if r["id"] == ref["image_id"])
            annotation = next(a for a in self.annotations if a["id"] == ref["ann_id"])
            for sentence in ref["sentences"]:
                number = len(images) + 1
                told = {"id": number, "original_id": ref["image_id"], "caption": sentence["sent"]}
                images.append({**record, **told, "dataset_name": "refcoco"})
                changed = {"id": number, "image_id": number, "original_id": ref["ann_id"], "tokens_positive": []}
                annotations.append({**annotation, **changed})
        path = folder / f"finetune_refcoco_{split}.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
        return path

    def parquet(self, folder: Path) -> Path:
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet")
        rows = []
        for ref in self.refs:
            annotation = next(a for a in self.annotations if a["id"] == ref["ann_id"])
            record = next(r for r in self.images if r["id"] == ref["image_id"])
            x, y, w, h = annotation["bbox"]
            rows.append(
                {
                    **{key: ref[key] for key in ("ann_id", "ref_id", "image_id", "file_name", "sentences")},
                    "split": "test" if ref["split"] == "testA" else ref["split"],
                    "raw_anns": json.dumps(annotation),
                    "raw_image_info": json.dumps(record),
                    "bbox": [x, y, x + w, y + h],
                }
            )
        path = folder / "refcoco.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path


@pytest.fixture(scope="session")
def toy() -> Toy:
    """Four pictures of scenes, two of them of the split val, every object annotated and most of them referred to."""
    images, annotations, refs, truth, pictures = [], [], [], [], {}
    scenes = (render(3, index, size=(96, 112), split="val", count=(3, 4)) for index in range(50))
    chosen = [scene for scene in scenes if len(scene.objects) >= 3][: len(SPLITS)]
    for number, (scene, split) in enumerate(zip(chosen, SPLITS, strict=True)):
        image_id = 100 + number
        name = f"COCO_train2014_{image_id:012d}.jpg"
        images.append({"id": image_id, "file_name": name, "height": 96, "width": 112})
        pictures[image_id] = scene.image
        texts: dict[int, list[str]] = {}
        for expression in expressions(scene):
            texts.setdefault(expression.target, []).append(expression.text)
        found = []
        for index, item in enumerate(scene.objects):
            ann_id = 10 * image_id + index
            x0, y0, x1, y1 = item.box
            polygons = _polygons(item.mask)
            annotation = {"id": ann_id, "image_id": image_id, "bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": 1}
            annotations.append({**annotation, "segmentation": polygons, "iscrowd": 0})
            sentences = texts.get(index, [])[:3]
            if not sentences:
                continue
            told = {"ann_id": ann_id, "ref_id": len(refs), "image_id": image_id, "split": split, "category_id": 1}
            given = [
                {"sent": s, "raw": s.capitalize(), "sent_id": i, "tokens": s.split()} for i, s in enumerate(sentences)
            ]
            file_name = name.replace(".jpg", f"_{len(refs)}.jpg")
            refs.append({**told, "file_name": file_name, "sentences": given, "sent_ids": [*range(len(given))]})
            mask = mask_of(polygons, (96, 112))
            found.append(Reference(told["ref_id"], ann_id, tuple(map(float, item.box)), tuple(sentences), mask))
        truth.append(ReferredImage(image_id, name, split, (96, 112), {}, tuple(found)))
    return Toy(images, annotations, refs, truth, pictures)


def _polygons(mask: np.ndarray) -> list[list[float]]:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [outline.ravel().astype(float).tolist() for outline in outlines if len(outline) >= 3]
