"""The configs that work by regions are what their text says."""

import pytest

from densevl.benchmarks.adapter import OpenVocabularyModel
from densevl.benchmarks.regions.metrics import ChoiceMetric, RecognitionMetric
from densevl.benchmarks.regions.model import RegionChooser
from densevl.config_files import load_config

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
    assert config.model.segmentor.type == "RegionSegmentor"
    assert config.model.segmentor.embedder.visual_prompts == ["crop", "blur_mask"]
    assert data.vocabulary == SEGMENTATION[name]
    text = (root / "configs" / f"fgvp_{name}.py").read_text()
    assert f"python tools/test.py configs/fgvp_{name}.py --cfg-options data_root={data.data_root}" in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("name", sorted(RECOGNITION))
def test_recognition(name, root):
    config = load_config(f"fgvp_{name}")
    assert config.model.type is RegionChooser
    assert config.model.segmentor.templates == "none"
    assert config.test_evaluator.type is RECOGNITION[name]
    assert f"python tools/test.py configs/fgvp_{name}.py" in (root / "configs" / f"fgvp_{name}.py").read_text()


def test_scenes_need_no_download():
    for name in ("seg_scenes", "regions_scenes"):
        segmentor = load_config(f"fgvp_{name}").model.segmentor
        assert segmentor.encoder.weights == "mini-clip"
        assert segmentor.mask_maker.weights == "mini-sam"
