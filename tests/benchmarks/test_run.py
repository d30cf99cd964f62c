import json

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.api.loading import load
from densevl.benchmarks.run import evaluate
from densevl.core.errors import OutputError, UsageError
from densevl.core.images import read_image
from densevl.core.labelmap import read_label_map

QUICK = {"weights": "random:0", "test_dataloader.num_workers": 0, "model.templates": "none"}
ADE = {**QUICK, "model.model": "mini"}
SCENES = {**QUICK, "test_dataloader.dataset.length": 3, "test_dataloader.dataset.size": 64}


def check_page(folder, report):
    """The page has every image with its labels and the truth, and the scores as tables."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [item["name"] for item in data["items"]] == ["000000", "000001", "000002"]
    for item in data["items"]:
        assert set(item["layers"]) == {"labels", "truth"} == set(data["layers"])
        assert all((folder / link).is_file() for link in (item["picture"], item["thumb"], *item["layers"].values()))
        assert item["detail"] == f"pixel accuracy {100 * item['values'][0]:.1f} %"
    scores, classes, images = data["tables"]
    assert ["mIoU", report.scores.mean_iou] in scores["rows"]
    assert [row[1] for row in classes["rows"] if row[1] is not None] == pytest.approx(
        [iou / 100 for iou in report.scores.iou.tolist() if iou == iou]
    )
    assert np.mean([row[1] for row in images["rows"]]) == pytest.approx(report.scores.pixel_accuracy / 100)


def test_scenes(tmp_path):
    places = {"out": tmp_path / "out", "show_dir": tmp_path / "show", "html": tmp_path / "page"}
    report = evaluate("maskclip_scenes", work_dir=tmp_path, **places, options=SCENES)
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["scores"]["mIoU"] == report.scores.mean_iou
    assert saved["protocol"]["encoder"] == "mini-clip@random:0"
    assert saved["dataset"] == {"name": "scenes", "source": "drawn while needed", "images": 3, "expected": 3}
    assert set(saved["scores"]["groups"]) == {"grounds", "seen pairs", "never-seen pairs"}
    assert report.failures == []
    names = ["000000.png", "000001.png", "000002.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "show").iterdir()) == names
    assert read_label_map(tmp_path / "out" / names[0]).shape == (64, 64)
    assert read_image(tmp_path / "show" / names[0]).shape[0] >= 64
    check_page(tmp_path / "page", report)
    text = str(report)
    for shown in ("mini-clip@random:0", "window", "background", "mIoU of never-seen pairs", "random weights"):
        assert shown in text


def test_the_figure_is_that_of_the_label_maps_written(ade, tmp_path):
    root = ade()
    report = evaluate(
        "maskclip_ade", work_dir=tmp_path / "w", out=tmp_path / "out", options={**ADE, "data_root": str(root)}
    )
    truth, given = [], []
    for path in sorted((tmp_path / "out").iterdir()):
        raw = np.array(Image.open(next(root.rglob(f"annotations/validation/{path.name}")))).astype(int)
        labels = read_label_map(path)
        truth.append(raw[raw > 0] - 1)
        given.append(labels[raw > 0])
    assert report.scores.pixel_accuracy == pytest.approx(100 * (np.concatenate(truth) == np.concatenate(given)).mean())
    assert "3 of the benchmark's 2000 images" in report.caveats[0]


def test_batches_and_limits(ade, tmp_path):
    options = {**ADE, "data_root": str(ade())}
    one = evaluate("maskclip_ade", work_dir=tmp_path, limit=2, options=options)
    both = evaluate("maskclip_ade", work_dir=tmp_path, limit=2, options={**options, "batch_size": 2})
    assert one.images == 2
    assert one.scores.as_dict() == both.scores.as_dict()


def test_a_bad_image_makes_the_figure_invalid_loudly(ade, tmp_path):
    root = ade()
    bad = next(root.rglob("ADE_val_00000001.jpg"))
    bad.write_bytes(b"")
    report = evaluate(
        "maskclip_ade", work_dir=tmp_path, show_dir=tmp_path / "show", options={**ADE, "data_root": str(root)}
    )
    assert [path for path, _ in report.failures] == [str(bad)]
    assert "INVALID: 1 of 3 images" in str(report)
    assert len(list((tmp_path / "show").iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.model": "nope"}, "model 'nope' is unknown"),
        ({"test_dataloader.dataset.vocabulary": "ade21k"}, "vocabulary 'ade21k' is unknown"),
        ({"data_root": "/nowhere"}, "there is no folder /nowhere"),
        ({"background": "maybe"}, "background mode must be one of"),
        ({"model.shortside": 3}, "shortside"),
        ({"model.refiners.7.weights": 3}, r"refiners\.7\.weights"),
        ({"test_dataloader.dataset.color": 3}, "color"),
        ({"test_dataloader.batchsize": 3}, "takes no 'batchsize'; did you mean batch_size"),
        ({"test_evaluator.rule": ">"}, "unexpected keyword argument 'rule'"),
        ({"data_rot": "x"}, "takes no option 'data_rot'; did you mean data_root"),
        ({"train_cfg.max_iters": 3}, r"takes no option 'train_cfg\.max_iters'; "),
        ({"model.templates": "nope"}, "templates 'nope' are unknown"),
        ({"weights": "/no/such/file.pt"}, "file.pt"),
    ],
)
def test_what_cannot_be_evaluated(ade, tmp_path, changes, message):
    with pytest.raises(Exception, match=message) as raised:
        evaluate("maskclip_ade", work_dir=tmp_path, options={**ADE, "data_root": str(ade()), **changes})
    assert type(raised.value).__name__ in ("UsageError", "WeightsError")
    assert not (tmp_path / "results.json").exists()


def test_a_work_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --work-dir"):
        evaluate("maskclip_scenes", work_dir=tmp_path / "file" / "w", options=SCENES)


def test_a_checkpoint_in_the_place_of_the_weights(tmp_path):
    trained = load("mini", weights="random:5").segmentor.encoder.model
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "iter_5.pth")
    options = {name: value for name, value in SCENES.items() if name != "weights"}
    report = evaluate(
        "maskclip_scenes", checkpoint=tmp_path / "iter_5.pth", work_dir=tmp_path, tta=True, options=options
    )
    assert report.caveats == []
    assert report.protocol["mirrored"] is True


def test_configs_of_another_kind(tmp_path):
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("x = 1 +\n")
    with pytest.raises(UsageError, match="no model and no test_dataloader"):
        evaluate(tmp_path / "other.py")
    with pytest.raises(UsageError, match=r"broken\.py cannot be read"):
        evaluate(tmp_path / "broken.py")
    with pytest.raises(UsageError, match="maskclip_ade"):
        evaluate("maskclip_adde")
    with pytest.raises(UsageError, match="limit"):
        evaluate("maskclip_ade", limit=0)
