"""The configs that train CLOC on data: they read, their data sets stand on the real layouts, and they train."""

import re

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS

from densevl.core.config_files import load_config
from densevl.core.errors import ShardError, WeightsError
from densevl.datasets.training import CocoRegionTexts, ReferringRegionTexts, RegionTextShards
from densevl.regions.embedders.prompted import load_prompter
from densevl.training.cloc.model import ClocTraining
from densevl.training.train import train

CONFIGS = {
    "cloc_train_coco": CocoRegionTexts,
    "cloc_overfit_coco": CocoRegionTexts,
    "cloc_train_refcoco": ReferringRegionTexts,
    "cloc_train_grit": RegionTextShards,
    "cloc_train_shards": RegionTextShards,
}
SMALL = {
    "model.encoder": {"_delete_": True, "type": "random-clip", "arch": "mini-clip"},
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 1,
    "train_dataloader.dataset.side": 16,
    "train_cfg": {"_delete_": True, "by_epoch": False, "max_iters": 3},
    "val_dataloader": None,
    "val_evaluator": None,
    "val_cfg": None,
}
"""What makes a recipe of full size one of seconds."""


@pytest.fixture
def places(coco, refer, shards):
    """Where each config finds its data here."""
    of_shards = {"train_dataloader.dataset.shards": str(shards), "train_dataloader.dataset.failures": None}
    in_coco = {"train_dataloader.dataset.data_root": str(coco)}
    names = {
        name: f"annotations/{name.replace('annotations', 'instances')}_train2017.json"
        for name in ("annotations", "captions")
    }
    overfit = {f"train_dataloader.dataset.{name}": value for name, value in names.items()}
    return {
        "cloc_train_coco": in_coco,
        "cloc_overfit_coco": {**in_coco, **overfit, "train_dataloader.dataset.image_folder": "train2017"},
        "cloc_train_refcoco": {"train_dataloader.dataset.data_root": str(refer)},
        "cloc_train_grit": of_shards,
        "cloc_train_shards": of_shards,
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_the_text_says_how_it_is_run(name, root):
    text = (root / "configs" / f"{name}.py").read_text()
    config = load_config(name)
    assert config.model.type is ClocTraining
    assert f"tools/train.py configs/{name}.py" in text
    assert len(text.splitlines()) < 80
    for key in re.findall(r"(?:train_dataloader|model|optim_wrapper)\.[\w.]+(?==)", text):
        load_config(name, {key: 1})  # options of the text are taken
    for other in re.findall(r"configs/(\w+)\.py", text):
        load_config(other)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_data_set_stands_on_files_of_its_layout(name, places):
    config = load_config(name, places[name])
    data = DATASETS.build(config.train_dataloader.dataset)
    assert isinstance(data, CONFIGS[name])
    sample = next(iter(data)) if isinstance(data, RegionTextShards) else data[0]
    side = config.train_dataloader.dataset.side
    assert sample["images"].shape == (3, side, side)
    assert len(sample["boxes"]) == len(sample["texts"])


@pytest.mark.parametrize(
    "name",
    [
        "cloc_train_shards",
        pytest.param("cloc_train_coco", marks=pytest.mark.slow),
        pytest.param("cloc_train_refcoco", marks=pytest.mark.slow),
    ],
)
def test_the_recipe_trains_and_is_resumed(name, places, tmp_path):
    checkpoints = {"default_hooks.checkpoint.interval": 2, "default_hooks.logger.interval": 1}
    options = {**SMALL, **places[name], **checkpoints}
    whole = train(name, tmp_path / "whole", options=options)
    (tmp_path / "part").mkdir()
    (tmp_path / "whole" / "iter_2.pth").rename(tmp_path / "part" / "iter_2.pth")
    resumed = train(name, tmp_path / "part", resume=tmp_path / "part" / "iter_2.pth", options=options)
    state = resumed.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in whole.state_dict().items())
    prompter = load_prompter(tmp_path / "part" / "prompter.safetensors")
    assert torch.equal(prompter.project.weight, whole.prompter.project.weight)


def test_a_shard_that_is_cut_off_stops_the_training_with_one_line(places, shards, tmp_path):
    for shard in shards.iterdir():
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    options = {**SMALL, **places["cloc_train_shards"], "train_cfg.max_iters": 50}
    with pytest.raises(
        ShardError, match=r"^\S+\.tar is cut off or damaged [^\n]*the last whole record is 'k\d+'[^\n]*$"
    ):
        train("cloc_train_shards", tmp_path / "out", options=options)


@pytest.mark.parametrize("name", ["cloc_train_coco", "cloc_train_grit"])
def test_without_the_weights_it_says_what_is_missing(name, places, tmp_path):
    with pytest.raises(WeightsError, match="clip-vit-b16-laion2b"):
        train(name, tmp_path, options=places[name])


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("cloc_train_grit", {"model.frozen": True, "optim_wrapper.paramwise_cfg.rates.clip": None}, {"prompter": 5e-4}),
        ("cloc_train_grit", {}, {"prompter": 5e-4, "clip": 5e-5}),
        ("cloc_train_coco", {}, {"prompter": 5e-4}),
        (
            "cloc_train_coco",
            {"model.frozen": False, "optim_wrapper.paramwise_cfg.rates.clip": 0.1},
            {"prompter": 5e-4, "clip": 5e-5},
        ),
    ],
)
def test_what_is_trained_and_at_which_rate(name, options, parts):
    """The modes that the texts of the configs name."""
    config = load_config(name, {**SMALL, **options})
    model = MODELS.build(config.model)
    names = {id(weight): name.partition(".")[0] for name, weight in model.named_parameters()}
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    found = {(names[id(weight)], group["lr"]) for group in groups for weight in group["params"]}
    assert sorted(found) == sorted((part, pytest.approx(rate)) for part, rate in parts.items())
