"""A model, a data set and a metric of any other kind run through the same evaluation."""

import json
import sys

import pytest

from densevl.benchmarks import protocols
from densevl.benchmarks.protocols import LoadedModel, dotted
from densevl.benchmarks.run import evaluate
from densevl.core.errors import UsageError

PARTS = """
import torch
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from densevl.benchmarks.per_image import check_each_once, gathered
from densevl.benchmarks.protocols import BenchmarkModel


class Numbers(torch.utils.data.Dataset):
    metainfo = {"base": 10}
    title, source, expected = "numbers", "counted", 5
    protocol, caveats = {"order": "rising"}, ["they are only numbers"]

    def __init__(self, length=5, factor=0, indices=None):
        self.length, self.factor = indices or length, factor

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        sample = BaseDataElement(metainfo={"sample_idx": index, "truth": self.factor * index})
        return {"inputs": torch.tensor(index), "data_samples": sample}


class Twice(BenchmarkModel):
    name = "twice"

    def __init__(self, weights="none"):
        super().__init__()
        self.weights, self.asked = weights, None

    @property
    def protocol(self):
        return {"encoder": self.weights}

    def prepare(self, dataset):
        self.asked = dataset.title

    def forward(self, inputs, data_samples, mode="predict"):
        for number, sample in zip(inputs, data_samples):
            sample.set_metainfo({"given": 2 * int(number), "asked": self.asked})
        return data_samples


class Right:
    def __init__(self, right, of):
        self.right, self.of = right, of

    def as_dict(self):
        return {"right": self.right}

    def lines(self):
        return [f"right {self.right} of {self.of}"]


class Count(BaseMetric):
    scores, failures = None, []
    default_prefix = "scores"

    def process(self, data_batch, data_samples):
        assert all(s["asked"] == "numbers" for s in data_samples)
        self.results += [(s["sample_idx"], s["given"] == s["truth"]) for s in data_samples]

    def evaluate(self, size):
        results = gathered(self.results)
        check_each_once([index for index, _ in results], size)
        self.scores = Right(sum(right for _, right in results), size)
        return self.scores.as_dict()

    def compute_metrics(self, results):
        raise NotImplementedError
"""
CONFIG = """
from mmengine.dataset import DefaultSampler
from number_parts import Count, Numbers, Twice

model = dict(type=Twice)
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=Numbers, factor=2),
)
test_evaluator = dict(type=Count)
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / "number_parts.py").write_text(PARTS)
    (tmp_path / "numbers.py").write_text(CONFIG)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "number_parts", raising=False)
    return tmp_path / "numbers.py"


def test_the_config_decides(config, tmp_path):
    report = evaluate(config, checkpoint="x@random:0", work_dir=tmp_path / "w", limit=3)
    saved = json.loads((tmp_path / "w" / "results.json").read_text())
    assert saved["model"] == "twice"
    assert saved["protocol"] == {"encoder": "x@random:0", "order": "rising"}
    assert saved["scores"] == {"right": 3}
    assert saved["dataset"] == {"name": "numbers", "source": "counted", "images": 3, "expected": 5}
    for line in (
        "right 3 of 3",
        "order    rising",
        "*** they are only numbers ***",
        "random weights",
        "3 of the bench",
    ):
        assert line in str(report)


def test_mirror_images_only_where_the_model_can(config, tmp_path):
    with pytest.raises(UsageError, match="leave out --tta"):
        evaluate(config, work_dir=tmp_path, tta=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title, source, expected = "numbers", ', "source, expected = ", "Numbers has no title, see BenchmarkDataset"),
        ("scores, failures = None, []", "failures = []", "Count has no scores, see BenchmarkMetric"),
        ("class Twice(BenchmarkModel)", "class Twice(torch.nn.Module)", "Twice is no BenchmarkModel"),
    ],
)
def test_parts_that_keep_no_contract_are_refused(config, tmp_path, old, new, message):
    assert old in PARTS
    (tmp_path / "number_parts.py").write_text(PARTS.replace(old, new))
    with pytest.raises(UsageError, match=message):
        evaluate(config, work_dir=tmp_path / "w")


def test_dotted_options_reach_load_as_dotted_paths(monkeypatch):
    got = {}
    monkeypatch.setattr(protocols, "load", lambda name, **changes: got.update(changes, name=name))
    component = {"type": "sam", "weights": "mini-sam", "points": {"per_side": 8}}
    LoadedModel("mini", weights="F", refiners={"0": {"weights": "G", "gamma": 0.3}}, mask_maker=component, negatives={})
    assert got.pop("lazy") is True
    assert got == {
        "name": "mini",
        "device": "cpu",
        "weights": "F",
        "refiners.0.weights": "G",
        "refiners.0.gamma": 0.3,
        "mask_maker": component,
        "negatives": {},
    }
    assert dotted({"a": {"b": {"c": 1}, "d": [2]}}) == {"a.b.c": 1, "a.d": [2]}


def test_options_of_the_command_line_reach_load(monkeypatch, tmp_path):
    class Got(Exception):
        pass

    def load(name, **changes):
        raise Got(name, changes)

    monkeypatch.setattr(protocols, "load", load)
    options = {"model.encoder.weights": "F", "heads": "G", "prompter": "P", "mask_maker": "mini-sam", "weights": "W"}
    with pytest.raises(Got) as raised:
        evaluate("scenes", "mini@x", work_dir=tmp_path, options=options)
    name, changes = raised.value.args
    assert name == "mini@x"
    assert changes == {
        "lazy": True,
        "device": "cpu",
        "encoder.weights": "F",
        "refiners.0.weights": "G",
        "prompter": "P",
        "mask_maker": "mini-sam",
        "weights": "W",
    }
