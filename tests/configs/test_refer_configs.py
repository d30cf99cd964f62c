"""The configs of referring expressions: their data, their metric, and what their text says."""

import pytest

from densevl.datasets.referring.datasets import PROPOSALS, ReferringDataset
from densevl.benchmarks.referring.metric import ReferringMetric
from densevl.benchmarks.referring.model import GroundingModel
from densevl.datasets.referring.scenes import ReferringScenes
from densevl.datasets.referring.splits import benchmark
from densevl.core.config_files import load_config
from densevl.api.models import model_entry

PUBLISHED = {"refcoco": "52.0", "refcoco_plus": "53.3", "refcocog": "62.1"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_refer(name, root):
    config = load_config(f"fgvp_{name}")
    data = config.test_dataloader.dataset
    chosen = benchmark(data.dataset, data.splits_by)
    assert (config.model.type, data.type) == (GroundingModel, ReferringDataset)
    assert config.test_evaluator.type is ReferringMetric
    assert (chosen.name, chosen.split(data.split)) == (name.replace("_plus", "+"), "val")
    assert data.proposals in PROPOSALS
    assert model_entry(config.model.model).grounder
    assert config.test_dataloader.sampler.round_up is False
    text = (root / "configs" / f"fgvp_{name}.py").read_text()
    assert f"python tools/test.py configs/fgvp_{name}.py --cfg-options data_root={data.data_root}" in text
    assert f"Published (not measured here), val: {PUBLISHED[name]}" in text
    base = (root / "configs" / f"{name}.py").read_text()
    assert all(f"{split} {count}" in base for split, count in chosen.splits.items() if split != "train")


def test_refer_scenes():
    config = load_config("fgvp_refer_scenes")
    assert config.test_dataloader.dataset.type is ReferringScenes
    assert config.model.model == "mini"
    assert config.test_evaluator.rule == ">"
