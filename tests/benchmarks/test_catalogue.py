"""The data sets of label maps: here, in part, or missing, and how to get them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevl.benchmarks.catalogue import data_set, data_set_names, placed
from densevl.benchmarks.segmentation.datasets import VocabularyDataset
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.converters import CONVERTERS

MESS = [name for name in data_set_names() if name.startswith("mess_")]


@pytest.mark.parametrize("name", data_set_names())
def test_every_data_set_says_how_to_get_it(name, tmp_path):
    found = data_set(name, tmp_path)
    assert found.title
    assert found.source.startswith("http") or name == "scenes"
    assert found.licence
    assert found.state == ("drawn" if name == "scenes" else "missing")
    assert bool(found.steps) == (name != "scenes")
    assert not any("{" in step for step in found.steps)
    for step in found.steps:
        if "convert_labels" in step:
            assert step.split()[2] in CONVERTERS


def test_the_22_sets_of_mess():
    assert (
        len({name.replace("_lungs", "").split("_bones")[0].split("_media")[0].split("_dia")[0] for name in MESS}) == 22
    )
    assert len(Vocabulary.load("mess/foodseg103")) == 104
    assert len(Vocabulary.load("mess/cub_200")) == 201
    assert Vocabulary.load("mess/isprs_potsdam").background == 5
    assert Vocabulary.load("mess/atlantis").background is None


@pytest.mark.parametrize("name", MESS)
def test_a_set_of_mess_reads_what_its_preparation_writes(name, tmp_path):
    layout = load_config(name).test_dataloader.dataset
    classes = Vocabulary.load(layout.vocabulary)
    images, labels = tmp_path / "mess" / layout.images, tmp_path / "mess" / layout.labels
    for folder in (images, labels):
        folder.mkdir(parents=True)
    for index in range(2):  # the second one has no labels: it is of another split
        picture = Image.new("RGB", (6, 4), (index, 2, 3))
        picture.save(images / f"0{index}_{layout.get('image_suffix', '.jpg')}", "PNG")
    truth = np.array([[0, len(classes) - 1, 255, 0, 0, 0]] * 4, np.uint8)
    Image.fromarray(truth).save(labels / f"00_{layout.get('label_suffix', '.png')}", "PNG")
    found = data_set(name, tmp_path)
    assert (found.here, found.state) == (True, "here, 1 images")
    settings = {key: value for key, value in layout.items() if key != "type"}
    data = VocabularyDataset(**{**settings, "data_root": str(placed(layout.data_root, tmp_path))})
    assert len(data) == 1
    assert data[0]["data_samples"].gt_sem_seg.data[0].tolist() == truth.tolist()


@pytest.mark.parametrize("name", ["ade847", "context459"])
def test_labels_of_16_bits(name, tmp_path):
    layout = load_config(name).test_dataloader.dataset
    root = placed(layout.data_root, tmp_path)
    for folder in (layout.images, layout.labels):
        (root / folder).mkdir(parents=True)
    Image.new("RGB", (4, 1)).save(root / layout.images / "a.jpg")
    truth = np.array([[0, 255, len(Vocabulary.load(layout.vocabulary)) - 1, 65535]], np.uint16)
    Image.fromarray(truth).save(root / layout.labels / "a.tif")
    settings = {key: value for key, value in layout.items() if key not in ("type", "data_root")}
    sample = VocabularyDataset(**settings, data_root=str(root))[0]["data_samples"]
    assert sample.gt_sem_seg.data[0].tolist() == truth.tolist()
    assert sample.ignored == 65535  # and 255 is a class
    with pytest.raises(UsageError, match="255 is the label of a class; pixels that do not count need another"):
        VocabularyDataset(**{**settings, "ignored": 255}, data_root=str(root))


def test_what_is_here_in_part(tmp_path):
    folder = tmp_path / "cityscapes"
    images, labels = folder / "leftImg8bit/val/a", folder / "gtFine/val/a"
    for place in (images, labels):
        place.mkdir(parents=True)
    for name in ("x", "y"):
        Image.new("RGB", (2, 2)).save(images / f"{name}_leftImg8bit.png")
    Image.new("L", (2, 2)).save(labels / "x_gtFine_labelTrainIds.png")
    found = data_set("cityscapes", tmp_path)
    assert (found.here, found.state) == (False, "1 of 2 label maps missing")
    assert found.steps[-1] == f"python tools/convert_labels.py cityscapes {tmp_path}/cityscapes"
    Image.new("L", (2, 2)).save(labels / "y_gtFine_labelTrainIds.png")
    assert data_set("cityscapes", tmp_path).state == "here, 2 of 500 images"


def test_an_unknown_one():
    with pytest.raises(UsageError, match="data set 'adee' is unknown; did you mean ade"):
        data_set("adee")


def test_another_folder_stands_for_that_of_the_configs():
    assert placed("data/ade", Path("/mnt")) == Path("/mnt/ade")
    assert placed("/own/ade", Path("/mnt")) == Path("/own/ade")
