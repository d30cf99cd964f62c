"""Every config can be read, names a model and a data set that exist, and is what its text says."""

import re
import shutil
import subprocess
import sys

import pytest

from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.benchmarks.segmentation.datasets import ScenesDataset, VocabularyDataset
from densevl.core.config_files import load_config
from densevl.api.models import model_entry
from densevl.core.vocabulary import Vocabulary

BENCHMARKS = {
    "ade": ("ade20k", 150),
    "cityscapes": ("cityscapes", 19),
    "coco_object": ("coco_object", 81),
    "coco_stuff": ("coco_stuff", 171),
    "context59": ("context59", 59),
    "context60": ("context60", 60),
    "voc20": ("voc20", 20),
    "voc21": ("voc21", 21),
}


METHODS = ("maskclip", "dinoiser")


@pytest.mark.parametrize("method", METHODS)
def test_there_is_a_config_of_each_benchmark(method, root):
    names = {path.stem.removeprefix(f"{method}_") for path in (root / "configs").glob(f"{method}_*.py")}
    assert names >= {*BENCHMARKS, "scenes"}


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
@pytest.mark.parametrize("method", METHODS)
def test_benchmark(method, name, root):
    config = load_config(f"{method}_{name}")
    vocabulary, classes = BENCHMARKS[name]
    data = config.test_dataloader.dataset
    assert config.model.type is OpenVocabularyModel
    assert data.type is VocabularyDataset
    assert data.vocabulary == vocabulary
    assert len(Vocabulary.load(vocabulary)) == classes
    assert model_entry(config.model.model).segmentor["short_side"] == 448
    assert config.test_dataloader.sampler.round_up is False
    # Where label 0 is a class it is the background; where it is ignored the vocabulary has none.
    has_background = Vocabulary.load(vocabulary).background == 0
    assert not (data.get("reduce_zero_label", False) and has_background)
    text = (root / "configs" / f"{method}_{name}.py").read_text()
    assert config.model.model == method
    assert f"python tools/test.py configs/{method}_{name}.py --cfg-options data_root={data.data_root}" in text
    assert re.search(r"\d\d\.\d mIoU", text)


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_the_background_is_the_published_one(name):
    """CLIP-DINOiser asks its head on VOC21 and COCO-Object alone; Context60 has the word, the others no background."""
    expected = {"voc21": "head", "coco_object": "head", "context60": "literal"}
    assert load_config(f"dinoiser_{name}").model.get("background") == expected.get(name)


@pytest.mark.parametrize("method", METHODS)
def test_scenes(method):
    config = load_config(f"{method}_scenes")
    assert config.test_dataloader.dataset.type is ScenesDataset
    assert config.model.model == {"maskclip": "mini-maskclip", "dinoiser": "mini"}[method]


def test_configs_are_few_lines(root):
    for name in [f"{method}_{name}" for method in METHODS for name in (*BENCHMARKS, "scenes")]:
        assert len((root / "configs" / f"{name}.py").read_text().splitlines()) < 25
    assert all(path.parent.name in ("configs", "_base_") for path in (root / "configs").rglob("*.py"))


@pytest.mark.slow
def test_configs_work_from_an_installed_package(root, tmp_path):
    """The layout of the wheel: the package with ``configs`` inside, and no checkout in sight."""
    shutil.copytree(root / "densevl", tmp_path / "densevl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "configs", tmp_path / "densevl" / "configs")
    program = (
        "from densevl.core.config_files import find_config, load_config;"
        "print(find_config('maskclip_ade'), load_config('configs/maskclip_ade.py').test_dataloader.dataset.vocabulary, find_config('ade'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    shipped = tmp_path / "densevl" / "configs"
    assert done.stdout.split() == [str(shipped / "maskclip_ade.py"), "ade20k", str(shipped / "ade.py")]
