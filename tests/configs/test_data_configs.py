"""A config of a data set names no model; every model that fits can be evaluated on it."""

import pytest

from densevl.api.models import models
from densevl.benchmarks.catalogue import data_set_names
from densevl.benchmarks.protocols import LoadedModel
from densevl.benchmarks.referring.model import GroundingModel
from densevl.benchmarks.regions.model import RegionChooser, RegionRetriever
from densevl.benchmarks.run import NEEDED, evaluate
from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError

KINDS = {
    OpenVocabularyModel: " ".join(data_set_names()),
    GroundingModel: "refcoco refcoco_plus refcocog refer_scenes near_scenes",
    RegionChooser: "coco_regions lvis_regions fgovd regions_scenes",
    RegionRetriever: "retrieval retrieval_coco retrieval_refcoco retrieval_scenes",
}
DATA = {name: kind for kind, names in KINDS.items() for name in names.split()}
METHODS = ("maskclip", "dinoiser", "fgvp", "cloc")


@pytest.mark.parametrize("name", DATA)
def test_a_data_set_names_no_model(name, root):
    config = load_config(name)
    assert config.model.type is DATA[name]
    assert "model" not in config.model
    assert {*NEEDED} <= config.keys()
    assert config.test_dataloader.sampler == {"type": config.DefaultSampler, "shuffle": False, "round_up": False}
    assert config.model.get("background") == ("literal" if name in ("voc21", "coco_object", "context60") else None)
    text = (root / "configs" / f"{name}.py").read_text()
    assert f"    python tools/test.py configs/{name}.py --model NAME" in text
    source = config.test_dataloader.dataset.get("data_root")
    assert source is None or f"data_root={source}" in text or name == "retrieval"
    assert len(text.splitlines()) < 27


def test_every_benchmark_is_a_data_set_or_a_method_on_one(root):
    for path in (root / "configs").glob("*.py"):
        if path.stem == "__init__" or "test_dataloader" not in (config := load_config(path)):
            continue
        method, _, rest = path.stem.partition("_")
        assert path.stem in DATA or method in METHODS
        if path.stem not in DATA:
            data = load_config({"seg_scenes": "scenes"}.get(rest, rest))
            assert config.test_dataloader.dataset == data.test_dataloader.dataset
            assert config.test_evaluator == data.test_evaluator
            assert method == "cloc" if isinstance(config.model.model, dict) else config.model.model in models()
            assert len(path.read_text().splitlines()) < 25


def test_without_a_model_the_cure_is_named(tmp_path):
    with pytest.raises(UsageError, match="names no model; choose one from `densevl models` with --model NAME"):
        evaluate("scenes", work_dir=tmp_path)


@pytest.mark.parametrize(
    ("data", "method", "model", "length"),
    [
        ("scenes", "maskclip_scenes", "mini-maskclip", 3),
        ("regions_scenes", "cloc_regions_scenes", "mini-cloc", 8),
        ("retrieval_scenes", "cloc_retrieval_scenes", "mini-cloc", 4),
        ("refer_scenes", "cloc_refer_scenes", "mini-cloc", 3),
    ],
)
def test_a_model_by_name_is_the_method_on_the_data_set(data, method, model, length, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"test_dataloader.dataset.length": length, "test_dataloader.num_workers": 0}
    named, configured = evaluate(data, model, options=options), evaluate(method, options=options)
    assert named.scores.as_dict() == configured.scores.as_dict()
    assert named.protocol == configured.protocol
    assert named.model == configured.model == model
    assert (tmp_path / "work_dirs" / f"{data}-{model}" / "results.json").is_file()
    assert (tmp_path / "work_dirs" / method / "results.json").is_file()


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        ("scenes", "nope", "model 'nope' is unknown"),
        ("scenes", "fgvp", "labels no pixels"),
        ("refer_scenes", "mini-maskclip", "tells no regions apart; take one of"),
        ("regions_scenes", "mini", "does not work by regions"),
    ],
)
def test_models_that_do_not_fit(data, model, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        evaluate(data, model, work_dir=tmp_path)


def test_a_model_takes_the_place_of_the_configs_own(tmp_path):
    options = {"test_dataloader.dataset.length": 1, "test_dataloader.num_workers": 0}
    assert evaluate("maskclip_scenes", "mini-regions", work_dir=tmp_path, options=options).model == "mini-regions"
    assert issubclass(load_config("cloc_ade").model.type, LoadedModel)


@pytest.mark.parametrize("name", ["regions_scenes", "refer_scenes", "retrieval_scenes"])
def test_settings_that_a_data_set_does_not_take(name, tmp_path):
    with pytest.raises(UsageError, match=r"dataset takes no 'colour'; there are .*length.*, seed, size"):
        evaluate(name, "mini-cloc", work_dir=tmp_path, options={"test_dataloader.dataset.colour": 3})


@pytest.mark.parametrize("name", ["refcoco", "refcoco_plus", "refcocog", "fgvp_refcoco", "cloc_refcocog"])
def test_published_figures_keep_their_parser(name):
    assert load_config(name).model["parser"] == "reclip"
