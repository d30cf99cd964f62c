import numpy as np
import pytest
from PIL import Image

from densevl.benchmarks.segmentation.datasets import ScenesDataset, VocabularyDataset
from densevl.benchmarks.segmentation.pipeline import PIPELINE
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import CLASSES, HELD_OUT, render

ADE = {
    "vocabulary": "ade20k",
    "images": "ADEChallengeData2016/images/validation",
    "labels": "ADEChallengeData2016/annotations/validation",
    "reduce_zero_label": True,
}


def test_samples(ade):
    root = ade()
    resize = {"type": "Resize", "scale": (2048, 20), "keep_ratio": True}
    data = VocabularyDataset(**ADE, data_root=str(root), pipeline=[PIPELINE[0], resize, *PIPELINE[1:]])
    assert len(data) == 3
    assert data.metainfo["classes"] == Vocabulary.load("ade20k").names
    sample = data[1]
    assert tuple(sample["inputs"].shape) == (3, 33, 20)
    assert sample["data_samples"].ori_shape == (50, 30)
    assert sample["data_samples"].sample_idx == 1
    raw = np.array(Image.open(root / ADE["labels"] / "ADE_val_00000001.png")).astype(int)
    truth = sample["data_samples"].gt_sem_seg.data[0].numpy()
    assert (truth == np.where(raw == 0, 255, raw - 1)).all()
    assert (data.image(1) == np.array(Image.open(root / ADE["images"] / "ADE_val_00000001.jpg"))).all()


def test_the_root_may_be_the_inner_folder(ade):
    assert len(VocabularyDataset(**ADE, data_root=str(ade() / "ADEChallengeData2016"), indices=2)) == 2


def test_a_list_of_names(ade):
    root = ade()
    (root / "val.txt").write_text("ADE_val_00000002\nADE_val_00000000\n\n")
    data = VocabularyDataset(**ADE, data_root=str(root), split="val.txt")
    assert [data.get_data_info(i)["relative_path"] for i in range(2)] == [
        "ADE_val_00000002.jpg",
        "ADE_val_00000000.jpg",
    ]


def test_names_with_suffixes_and_subfolders(tmp_path):
    for folder, suffix in (("leftImg8bit", "_leftImg8bit.png"), ("gtFine", "_gtFine_labelTrainIds.png")):
        path = tmp_path / folder / "val" / "ulm" / f"ulm_1{suffix}"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.zeros((4, 6, 3) if folder == "leftImg8bit" else (4, 6), np.uint8)).save(path)
    data = VocabularyDataset(
        "cityscapes",
        str(tmp_path),
        "leftImg8bit/val",
        "gtFine/val",
        image_suffix="_leftImg8bit.png",
        label_suffix="_gtFine_labelTrainIds.png",
    )
    assert data[0]["data_samples"].relative_path == "ulm/ulm_1_leftImg8bit.png"


def test_nothing_there(tmp_path):
    with pytest.raises(
        UsageError, match=r"expected images .*/ADEChallengeData2016/images/validation/\*.jpg and label maps"
    ):
        VocabularyDataset(**ADE, data_root=str(tmp_path / "none"))
    (tmp_path / ADE["images"]).mkdir(parents=True)
    with pytest.raises(UsageError, match="there are none"):
        VocabularyDataset(**ADE, data_root=str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no file .*val\.txt"):
        VocabularyDataset(**ADE, data_root=str(tmp_path), split="val.txt")


def test_labels_missing(ade):
    root = ade()
    (root / ADE["labels"] / "ADE_val_00000001.png").unlink()
    with pytest.raises(UsageError, match=r"1 of 3 label maps are missing, such as .*00000001.png; make them"):
        VocabularyDataset(**ADE, data_root=str(root), cure="make them")


def test_unknown_vocabulary(tmp_path):
    with pytest.raises(UsageError, match="vocabulary 'ade21k' is unknown"):
        VocabularyDataset(**{**ADE, "vocabulary": "ade21k"}, data_root=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_bad_image_gives_a_sample_with_the_reason(ade, content):
    root = ade()
    path = root / ADE["images"] / "ADE_val_00000001.jpg"
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    sample = VocabularyDataset(**ADE, data_root=str(root))[1]["data_samples"]
    assert path.name in sample.failure
    assert sample.sample_idx == 1


def test_scenes_are_the_renderers():
    data = ScenesDataset(seed=3, length=5, size=64)
    sample = data[4]
    scene = render(3, 4, size=64, split="val")
    assert (sample["inputs"].permute(1, 2, 0).numpy()[..., ::-1] == scene.image).all()
    assert (sample["data_samples"].gt_sem_seg.data[0].numpy() == scene.labels).all()
    assert (data.image(4) == scene.image).all()


def test_scene_groups_divide_the_classes():
    groups = ScenesDataset(length=1).metainfo["groups"]
    assert sorted(label for part in groups.values() for label in part) == list(range(len(CLASSES)))
    assert {CLASSES[label] for label in groups["never-seen pairs"]} == {" ".join(pair) for pair in HELD_OUT}


def test_scene_labels_stay_full_size_when_the_image_is_resized():
    steps = ["LoadImageFromFile", "Resize", "LoadAnnotations", "PackSegInputs"]
    pipeline = [{"type": step, **({"scale": (32, 32)} if step == "Resize" else {})} for step in steps]
    sample = ScenesDataset(length=1, size=64, pipeline=pipeline)[0]
    assert tuple(sample["inputs"].shape) == (3, 32, 32)
    assert tuple(sample["data_samples"].gt_sem_seg.data.shape) == (1, 64, 64)
