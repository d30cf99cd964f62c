"""The configs that work by regions are what their text says."""

import pytest

from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.benchmarks.regions.metrics import ChoiceMetric, RecognitionMetric
from densevl.benchmarks.regions.model import RegionChooser
from densevl.core.config_files import load_config
from densevl.api.models import model_entry

SEGMENTATION = {
    "ade": "ade20k",
    "cityscapes": "cityscapes",
    "coco_stuff": "coco_stuff",
    "coco_object": "coco_object",
}
RECOGNITION = {"coco_regions": RecognitionMetric, "fgovd": ChoiceMetric, "regions_scenes": RecognitionMetric}


@pytest.mark.parametrize("name", sorted(SEGMENTATION))
def test_segmentation(name, root):
    config = load_config(f"fgvp_{name}")
    data = config.test_dataloader.dataset
    assert config.model.type is OpenVocabularyModel
    assert config.model.model == "fgvp-seg"
    assert data.vocabulary == SEGMENTATION[name]
    text = (root / "configs" / f"fgvp_{name}.py").read_text()
    assert f"python tools/test.py configs/fgvp_{name}.py --cfg-options data_root={data.data_root}" in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("name", sorted(RECOGNITION))
def test_recognition(name, root):
    config = load_config(f"fgvp_{name}")
    assert config.model.type is RegionChooser
    assert config.model.model == ("mini-regions" if name.endswith("scenes") else "fgvp-seg")
    assert config.test_evaluator.type is RECOGNITION[name]
    assert f"python tools/test.py configs/fgvp_{name}.py" in (root / "configs" / f"fgvp_{name}.py").read_text()


def test_scenes_need_no_download():
    assert load_config("fgvp_seg_scenes").model.model == "mini-regions"
    assert model_entry("mini-regions").cached
