"""The configs of CLOC are what their text says, and take a user's own training."""

import pytest

from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.benchmarks.referring.model import GroundingModel
from densevl.benchmarks.regions.metrics import ChoiceMetric, RecognitionMetric, RetrievalMetric
from densevl.benchmarks.regions.model import RegionChooser, RegionRetriever
from densevl.benchmarks.run import SHORT_NAMES, evaluate
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError
from densevl.api.models import model_entry

SEGMENTATION = {"ade": "ade20k", "cityscapes": "cityscapes", "coco_stuff": "coco_stuff", "coco_object": "coco_object"}
REGIONS = {
    "coco_regions": (RegionChooser, RecognitionMetric),
    "lvis_regions": (RegionChooser, RecognitionMetric),
    "fgovd": (RegionChooser, ChoiceMetric),
    "retrieval": (RegionRetriever, RetrievalMetric),
    "retrieval_coco": (RegionRetriever, RetrievalMetric),
    "retrieval_refcoco": (RegionRetriever, RetrievalMetric),
}
REFERRING = ("refcoco", "refcoco_plus", "refcocog")
SCENES = {
    "regions_scenes": RegionChooser,
    "retrieval_scenes": RegionRetriever,
    "refer_scenes": GroundingModel,
    "seg_scenes": OpenVocabularyModel,
}
PUBLISHED = {
    "coco_regions": ("71.1 mAcc", "72.9", "73.0", "64.1", "55.3", "70.6"),
    "lvis_regions": ("28.5 mAcc", "32.6", "35.6", "19.1", "13.2", "26.7"),
    "retrieval": ("67.2", "4.4"),
}
OWN = [*SEGMENTATION, *REGIONS, *REFERRING]


def text(root, name):
    return (root / "configs" / f"cloc_{name}.py").read_text()


@pytest.mark.parametrize("name", OWN)
def test_the_prompter_is_the_users(name, root):
    config = load_config(f"cloc_{name}", {"prompter": "mine", "weights": "its.safetensors"}, SHORT_NAMES)
    assert (config.model.prompter, config.model.weights) == ("mine", "its.safetensors")
    settings = config.model.model.get("segmentor") or config.model.model.grounder.embedders[0]
    embedder = settings.get("embedder", settings)
    assert (embedder.type, embedder.prompter) == ("prompter", None)
    assert settings.encoder == {"type": "clip", "weights": "clip-vit-b16-laion2b"}
    assert config.test_dataloader.sampler.round_up is False
    root_of_data = config.test_dataloader.dataset.data_root
    command = f"python tools/test.py configs/cloc_{name}.py --cfg-options data_root="
    assert command in text(root, name)
    assert "prompter=FILE\n" in text(root, name)
    assert root_of_data in text(root, name) or name == "retrieval"
    mini = "`weights=mini-clip prompter=mini-cloc" + (" mask_maker=mini-sam`" if name in SEGMENTATION else "`")
    assert mini in " ".join(text(root, name).split())
    assert ("Published" if name in PUBLISHED else "No figure is published") in " ".join(text(root, name).split())
    with pytest.raises(UsageError, match=r"there is no prompter: .* give prompter=FILE"):
        evaluate(f"cloc_{name}", options={"data_root": "nowhere"})


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_are_marked_as_such(name, root):
    head = text(root, name).partition("from mmengine")[0]
    assert "Published (not measured here)" in head
    assert all(figure in head for figure in PUBLISHED[name])


@pytest.mark.parametrize("name", sorted(SEGMENTATION))
def test_segmentation(name):
    config = load_config(f"cloc_{name}")
    assert config.model.type is OpenVocabularyModel
    assert config.test_dataloader.dataset.vocabulary == SEGMENTATION[name]
    assert config.model.get("background") == ("literal" if name == "coco_object" else None)
    assert config.model.mask_maker.maker.weights == "sam-vit-h"
    assert config.model.templates == "plain"


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_regions(name):
    config = load_config(f"cloc_{name}")
    assert (config.model.type, config.test_evaluator.type) == REGIONS[name]
    assert config.model.templates == config.model.model.segmentor.templates == "none"
    assert "mask_maker" not in {**config.model, **config.model.model.segmentor}, "boxes need no SAM"
    assert config.test_dataloader.batch_size == 8


@pytest.mark.parametrize("name", REFERRING)
def test_referring(name):
    cloc, fgvp = load_config(f"cloc_{name}"), load_config(f"fgvp_{name}")
    assert cloc.model.type is GroundingModel
    assert cloc.test_dataloader.dataset == fgvp.test_dataloader.dataset


@pytest.mark.parametrize("name", sorted(SCENES))
def test_scenes_need_no_download(name, root):
    config = load_config(f"cloc_{name}")
    assert config.model.type is SCENES[name]
    assert config.model.model == "mini-cloc"
    assert model_entry("mini-cloc").cached
    assert f"python tools/test.py configs/cloc_{name}.py" in text(root, name)
