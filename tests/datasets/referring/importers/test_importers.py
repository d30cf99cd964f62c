"""Every layout gives the same data; what cannot be used is counted, and what is unsafe or unknown refused."""

import copy
import json
import pickle
from dataclasses import replace

import pytest

from densevl.core.errors import UsageError
from densevl.datasets.referring.annotations import read_annotations
from densevl.datasets.referring.detections import read_detections
from densevl.datasets.referring.importers import convert_refer, find_annotations, import_refer
from densevl.datasets.referring.importers.official import plain_file_name
from densevl.datasets.referring.splits import benchmark

LAYOUTS = ("official", "reclip", "mdetr", "parquet")


def comparable(images, split=None):
    """The images by id with what every layout must agree on; ids of refs are each layout's own."""
    found = {}
    for image in images:
        if split in (None, image.split):
            refs = [(ref.ann_id, ref.box, tuple(s.lower() for s in ref.sentences)) for ref in image.refs]
            found[image.split, image.image_id] = (image.file_name, sorted(refs))
    return found


def masks(images, split):
    return {ref.ann_id: ref.mask for image in images if image.split == split for ref in image.refs}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(toy, tmp_path, layout):
    path = getattr(toy, layout)(tmp_path)
    data = import_refer(path)
    whole = layout in ("official", "parquet")
    assert comparable(data.images) == comparable(toy.truth, None if whole else "val")
    assert (data.dataset, data.splits_by, data.source, data.skipped) == ("refcoco", "unc", layout, {})
    if layout != "reclip":
        assert masks(data.images, "val") == masks(toy.truth, "val")
        assert all(image.size == (96, 112) for image in data.images)


@pytest.mark.parametrize("layout", ["reclip", "mdetr", "parquet"])
def test_instances_add_the_boxes_of_all_objects_and_masks(toy, tmp_path, layout):
    data = import_refer(getattr(toy, layout)(tmp_path), instances=toy.instances(tmp_path))
    assert masks(data.images, "val") == masks(toy.truth, "val")
    for image in data.images:
        bboxes = [a["bbox"] for a in toy.annotations if a["image_id"] == image.image_id]
        assert image.candidates["true"] == tuple((x, y, x + w, y + h) for x, y, w, h in bboxes)


def test_without_instances_there_are_no_true_boxes_where_the_layout_has_none(toy, tmp_path):
    assert all(not image.candidates for image in import_refer(toy.mdetr(tmp_path)).images)
    assert all(len(image.candidates["true"]) >= 3 for image in import_refer(toy.reclip(tmp_path)).images)


def test_the_official_file_names_lose_the_number_of_the_ref():
    assert plain_file_name("COCO_train2014_000000581857_16.jpg") == "COCO_train2014_000000581857.jpg"
    assert plain_file_name("COCO_train2014_000000581857.jpg") == "COCO_train2014_000000581857.jpg"


def write_refs(toy, tmp_path, change):
    refs = copy.deepcopy(toy.refs)
    change(refs)
    return replace(toy, refs=refs).official(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda refs: refs.append(copy.deepcopy(refs[0])), "duplicate refs"),
        (lambda refs: refs[0]["sentences"].append({"sent": "  ?! ", "raw": "?!"}), "empty expressions"),
        (lambda refs: refs[0].update(sentences=[]), "refs without an expression"),
        (lambda refs: refs[0].update(ann_id=5), "refs whose object is not in the instances"),
    ],
)
def test_what_cannot_be_used_is_counted(toy, tmp_path, change, reason):
    data = import_refer(write_refs(toy, tmp_path, change))
    assert data.skipped == {reason: 1}
    assert f"left out: 1 {reason}" in str(data)


def test_boxes_without_area_and_strange_masks_are_counted(toy, tmp_path):
    changed = copy.deepcopy(toy.annotations)
    used = [ref["ann_id"] for ref in toy.refs]
    next(a for a in changed if a["id"] == used[0])["bbox"][2] = 0
    next(a for a in changed if a["id"] == used[1])["segmentation"] = [[1, 2]]
    data = import_refer(replace(toy, annotations=changed, images=[*toy.images, toy.images[0]]).official(tmp_path))
    assert data.skipped == {
        "duplicate images": 1,
        "refs whose box is empty or not finite": 1,
        "masks that cannot be read (a polygon needs three points or more)": 1,
    }


def test_unknown_pairs_and_splits_are_refused_with_the_list(toy, tmp_path):
    path = toy.official(tmp_path)
    with pytest.raises(
        UsageError, match=r"no benchmark 'refcoco' split by 'umd'; there are refcoco \(unc\), refcoco\+"
    ):
        import_refer(path, splits_by="umd")
    with pytest.raises(UsageError, match="no benchmark 'refcoco99'"):
        import_refer(path, dataset="refcoco99")
    with pytest.raises(UsageError, match=r"RefCOCOg split by umd has no split 'testA'"):
        import_refer(path, dataset="refcocog", splits_by="umd")
    with pytest.raises(UsageError, match=r"has no split 'testC'; did you mean"):
        benchmark("refcoco").split("testC")
    assert benchmark("refcoco").split("TESTA") == "testA"
    assert benchmark("refcoco_plus").name == "refcoco+"


def test_the_split_must_be_told(toy, tmp_path):
    path = toy.reclip(tmp_path).rename(tmp_path / "refcoco.jsonl")
    with pytest.raises(UsageError, match=r"nothing in .*refcoco\.jsonl tells the split; name it with --split"):
        import_refer(path)
    assert import_refer(path, split="testB").splits.keys() == {"testB"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("refcoco_val.jsonl", "no json", "line 1: no JSON"),
        ("refcoco_val.jsonl", '{"image_id": 1}', "record 0: KeyError: 'anns'; expected the layout of ReCLIP"),
        ("refcoco_val.json", "{", "is not JSON"),
        ("refcoco_val.json", "[]", "no lists `images` and `annotations`"),
        ("refcoco_val.json", '{"images": [{}], "annotations": []}', "record 0: KeyError: 'id'"),
        ("refcoco_val.json", '{"images": [], "annotations": [3]}', "record 0: TypeError"),
        (
            "refcoco_val.json",
            '{"images": [{"id": 1, "file_name": "a.jpg", "height": "x"}], "annotations": [{"id": 1, "image_id": 1, '
            '"bbox": [0, 0, 1, 1]}]}',
            "record 0: ValueError: invalid literal for int.* expected the layout of MDETR's files",
        ),
        ("refcoco_val.json", '{"images": [], "annotations": []}', "holds no ref that could be used"),
        ("refcoco_val.csv", "", "no importer for 'csv'"),
        ("else_val.json", "{}", "nothing in the name of .* tells the data set"),
        ("refcoco.parquet", "no parquet", "is no parquet file"),
    ],
)
def test_files_of_another_layout(tmp_path, name, content, message):
    folder = tmp_path.parent / "plain"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        import_refer(folder / name)


def test_official_files_of_another_layout(toy, tmp_path):
    path = toy.official(tmp_path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UsageError, match="holds a dict; expected a list of refs"):
        import_refer(path)
    path.write_bytes(pickle.dumps([{"ref_id": 1}]))
    with pytest.raises(UsageError, match="record 0: KeyError: 'image_id'; expected the layout of the official refs"):
        import_refer(path)
    path.with_name("instances.json").write_text('{"images": []}')
    with pytest.raises(UsageError, match="not in the format of COCO's instances"):
        import_refer(path)
    with pytest.raises(UsageError, match="there is no file"):
        import_refer(tmp_path / "none.p")


def test_converting(toy, tmp_path):
    detected = tmp_path / "refcoco_dets_dict.json"
    detected.write_text(json.dumps({"100": [[1, 2, 3, 4], [5, 5, 0, 1]], "103": []}))
    path = toy.official(tmp_path)
    data, target = convert_refer(path, detections=detected)
    assert target == path.with_name("refcoco_unc.jsonl")
    assert read_annotations(target) == data == import_refer(target)
    assert [image.candidates["detections"] for image in data.images] == [((1.0, 2.0, 4.0, 6.0),), (), (), ()]
    with pytest.raises(UsageError, match="would be written over"):
        convert_refer(target, target)


@pytest.mark.parametrize(
    "content",
    [
        {"7": [[1, 2, 3, 4], [0, 0, 5, 5]]},
        [
            {"image_id": 7, "bbox": [0, 0, 5, 5], "score": 0.2},
            {"image_id": 7, "bbox": [1, 2, 3, 4], "score": 0.9},
        ],
        {"dets": [{"image_id": 7, "box": [1, 2, 3, 4]}, {"image_id": 7, "box": [0, 0, 5, 5]}]},
    ],
)
def test_detections_in_every_layout_the_best_first(tmp_path, content):
    (tmp_path / "d.json").write_text(json.dumps(content))
    assert read_detections(tmp_path / "d.json") == {7: ((1.0, 2.0, 4.0, 6.0), (0.0, 0.0, 5.0, 5.0))}


@pytest.mark.parametrize("content", ["3", '[{"a": 1}]', '{"a": 3}', "[3]"])
def test_what_holds_no_detections(tmp_path, content):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UsageError, match="holds no detections"):
        read_detections(tmp_path / "d.json")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_annotations_are_found_in_a_folder(toy, tmp_path, layout):
    path = getattr(toy, layout)(tmp_path)
    assert find_annotations(tmp_path, benchmark("refcoco"), "val") == path


def test_annotations_that_are_nowhere(tmp_path):
    with pytest.raises(UsageError, match=r"expected one of refcoco\+_unc\.jsonl, refs\(unc\)\.p"):
        find_annotations(tmp_path, benchmark("refcoco+"), "val")
