"""The whole path, from each official layout to a report, with the mini CLIP."""

import json
import pickle

import numpy as np
import pytest

from densevl.benchmarks.run import evaluate
from densevl.core.errors import UsageError
from densevl.core.geometry import box_ious
from densevl.datasets.referring.datasets import ReferringDataset
from densevl.regions.embedders.marked_images import MarkedImages

CROPS = {
    "embedders": [
        {"type": "marked-images", "encoder": {"type": "clip", "weights": "mini-clip"}, "visual_prompts": ["crop"]}
    ],
    "negatives": None,
    "_delete_": True,  # MMEngine: in the place of the name in the config
}
MINI = {"model.model": CROPS, "test_dataloader.num_workers": 0}


def run(tmp_path, toy, layout="official", name="fgvp_refcoco", **options):
    """Write the toy set in a layout beside its images and evaluate it."""
    root = tmp_path / "refer"
    if not root.exists():
        toy.save_pictures(root / "train2014")
        getattr(toy, layout)(root)
    where = {"data_root": str(root)}
    if layout in ("mdetr", "parquet"):
        where["test_dataloader.dataset.instances"] = str(toy.instances(tmp_path))
    kept = {key: options.pop(key) for key in ("out", "show_dir", "limit") if key in options}
    return evaluate(name, work_dir=tmp_path / "w", options={**MINI, **where, **options}, **kept)


@pytest.mark.parametrize("layout", ["official", "reclip", "mdetr", "parquet"])
def test_annotations_images_and_weights_are_all_it_needs(toy, tmp_path, layout):
    report = run(tmp_path, toy, layout)
    asked = sum(image.expressions for image in toy.truth if image.split == "val")
    assert (report.images, len(report.scores.outcomes), report.failures) == (2, asked, [])
    assert report.scores.recall() == 100
    assert 0 < report.scores.chance < 50
    text = " ".join(str(report).split())
    for shown in (
        "RefCOCO val (split by UNC), 2 images",
        "true boxes: every annotated object of the image (mean ",
        "mini-clip",
        f"annotations {layout}",
        f"Acc@0.5 {report.scores.accuracy():.2f} (right: IoU > 0.5, with >= it is ",
        "are COCO train images",
        f"{asked} of the split's 10834 expressions: not comparable with published figures",
    ):
        assert shown in text
    saved = json.loads((tmp_path / "w" / "results.json").read_text(), parse_constant=pytest.fail)
    assert saved["scores"]["expressions"] == asked
    assert saved["protocol"]["expressions"] == asked


def test_the_figure_is_that_of_the_answers_written(toy, tmp_path):
    report = run(tmp_path, toy, out=tmp_path / "out", show_dir=tmp_path / "show")
    records = [record for path in sorted((tmp_path / "out").iterdir()) for record in json.loads(path.read_text())]
    right = [box_ious(record["boxes"][:1], record["true"])[0] > 0.5 for record in records]
    assert report.scores.accuracy() == pytest.approx(100 * np.mean(right))
    assert [r["expression"] for r in records] == [s for i in toy.truth[:2] for ref in i.refs for s in ref.sentences]
    assert len(list((tmp_path / "show").rglob("*.png"))) == len(records)


def test_an_image_is_embedded_once_for_all_its_expressions(toy, tmp_path, monkeypatch):
    seen = []
    embed = MarkedImages.embed
    monkeypatch.setattr(
        MarkedImages, "embed", lambda self, image, regions: seen.append(0) or embed(self, image, regions)
    )
    report = run(tmp_path, toy)
    assert len(seen) == report.images == 2 < len(report.scores.outcomes)


def test_batches_do_not_matter(toy, tmp_path):
    assert run(tmp_path, toy).scores.as_dict() == run(tmp_path, toy, batch_size=2).scores.as_dict()


def test_splits_and_limits(toy, tmp_path):
    report = run(tmp_path, toy, split="testA", limit=1)
    assert (report.dataset, report.images) == ("RefCOCO testA (split by UNC)", 1)


def test_detections_are_a_protocol_of_their_own(toy, tmp_path):
    shifted = {
        str(image["id"]): [[max(0, x - 1), y, w, h] for x, y, w, h in boxes] if image["id"] != 101 else []
        for image in toy.images
        if (boxes := [a["bbox"] for a in toy.annotations if a["image_id"] == image["id"]])
    }
    (tmp_path / "dets.json").write_text(json.dumps(shifted))
    report = run(tmp_path, toy, proposals=str(tmp_path / "dets.json"))
    lost = toy.truth[1].expressions
    assert report.scores.unanswered == {"no proposals": lost}
    assert report.scores.recall(0.9) < report.scores.recall() < 100
    assert "detected boxes" in str(report)
    assert str(tmp_path / "dets.json") in str(report)
    assert f"no answer, counted as wrong: {lost} (no proposals)" in str(report)


def test_missing_and_bad_images_are_counted_and_make_the_figure_invalid(toy, tmp_path):
    run(tmp_path, toy)
    bad = tmp_path / "refer" / "train2014" / toy.images[1]["file_name"]
    bad.unlink()
    report = run(tmp_path, toy)
    assert [path for path, _ in report.failures] == [str(bad)]
    assert report.scores.left_out == toy.truth[1].expressions
    assert "INVALID: 1 of 2 images could not be used" in str(report)
    assert f"left out, their image cannot be used: {toy.truth[1].expressions} expressions" in str(report)
    bad.write_bytes((tmp_path / "refer" / "train2014" / toy.images[0]["file_name"]).read_bytes()[:200])
    assert "truncated" in run(tmp_path, toy).failures[0][1]
    for path in (tmp_path / "refer" / "train2014").iterdir():
        path.unlink()
    with pytest.raises(
        UsageError, match=r"none of the 2 images is there, such as COCO_train2014_000000000100\.jpg; looked"
    ):
        run(tmp_path, toy)


def test_an_expression_that_cannot_be_read_counts_as_wrong(toy, tmp_path):
    refs = [*toy.refs]
    long = {"sent": "word " * 400, "raw": "word"}
    refs[0] = {**refs[0], "sentences": [*refs[0]["sentences"], long]}
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(refs))
    toy.instances(tmp_path)
    report = run(tmp_path, toy, annotations=str(path))
    ((reason, count),) = report.scores.unanswered.items()
    assert (count, "400 words" in reason) == (1, True)


def test_both_rules(toy, tmp_path):
    report = run(tmp_path, toy, **{"test_evaluator.rule": ">="})
    assert "right: IoU >= 0.5" in str(report)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proposals": "everything"}, "has no mask_maker, which proposals=everything need"),
        ({"proposals": "detector"}, "has no detector, which proposals=detector need"),
        ({"test_evaluator.rule": "="}, "the rule '=' is unknown"),
        ({"model.model": "nope"}, "model 'nope' is unknown"),
        ({"model.colour": 3}, "colour"),
    ],
)
def test_what_cannot_be_evaluated(toy, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        run(tmp_path, toy, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "testC"}, r"RefCOCO split by unc has no split 'testC'; did you mean"),
        ({"split": "testB"}, "no expressions of the split 'testB'; did you mean testA"),
        ({"splits_by": "umd"}, r"no benchmark 'refcoco' split by 'umd'; there are"),
        ({"dataset": "refcoco+"}, r"RefCOCO\+: there is no annotation file below"),
        ({"annotations": "none.p"}, r"there is no file .*none\.p"),
        ({"proposals": "guess"}, "proposals 'guess' are neither a file of detections nor one of true, detections"),
        ({"proposals": "detections"}, "does not tell detected boxes kept with the annotations; name a file"),
    ],
)
def test_data_that_cannot_be_used(toy, tmp_path, changes, message):
    toy.save_pictures(tmp_path / "train2014")
    toy.official(tmp_path)
    assert len(ReferringDataset("refcoco", str(tmp_path))) == 2
    with pytest.raises(UsageError, match=message):
        ReferringDataset(**{"dataset": "refcoco", "data_root": str(tmp_path), **changes})


def test_layouts_without_other_boxes_need_instances(toy, tmp_path):
    toy.save_pictures(tmp_path / "train2014")
    toy.mdetr(tmp_path)
    with pytest.raises(UsageError, match=r"does not tell true boxes.*dataset\.instances=FILE"):
        ReferringDataset("refcoco", str(tmp_path))


def test_an_unsafe_pickle_is_refused(toy, tmp_path):
    root = tmp_path / "refer"
    toy.save_pictures(root / "train2014")
    toy.official(root).write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(UsageError, match=r"asks for os\.system, which might run code"):
        run(tmp_path, toy)
    assert not (tmp_path / "ran").exists()
