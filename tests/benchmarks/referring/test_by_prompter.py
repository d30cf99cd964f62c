"""Expressions and retrieval with a prompter, from the official layout of RefCOCO to the report."""

import pytest

from densevl.benchmarks.run import evaluate
from densevl.datasets.regions.pairs import ExpressionPairs
from densevl.encoders.clip import CLIPEncoder

MINI = {"weights": "mini-clip", "prompter": "random:0", "test_dataloader.num_workers": 0}


@pytest.fixture
def official(toy, tmp_path):
    """A folder like ``data/refer``."""
    toy.save_pictures(tmp_path / "refer" / "train2014")
    toy.official(tmp_path / "refer")
    return str(tmp_path / "refer")


def test_expressions(toy, official, tmp_path, monkeypatch):
    passes = []
    tokens = CLIPEncoder.tokens
    monkeypatch.setattr(CLIPEncoder, "tokens", lambda self, images: passes.append(len(images)) or tokens(self, images))
    options = {**MINI, "data_root": official}
    report = evaluate("cloc_refcoco", work_dir=tmp_path / "w", options=options)
    assert passes == [2] == [report.images], "both images of the batch are encoded together, once"
    assert len(report.scores.outcomes) == sum(image.expressions for image in toy.truth if image.split == "val")
    assert report.scores.unanswered == {}
    assert report.scores.recall() == 100
    for shown in ("prompter@random", "random weights", "mini CLIP knows drawn scenes", "true boxes"):
        assert shown in str(report)
    alone = evaluate("cloc_refcoco", work_dir=tmp_path / "w", options={**options, "batch_size": 1})
    assert alone.scores.as_dict() == report.scores.as_dict()


def test_retrieval(toy, official, tmp_path):
    dataset = ExpressionPairs("refcoco", official)
    truth = [image for image in toy.truth if image.split == "val"]
    expected = [[(ref.box, ref.sentences[0].casefold()) for ref in image.refs] for image in truth]
    found = [[(r.box, dataset.texts[r.truth].casefold()) for r in image.regions] for image in dataset.images]
    assert found == expected
    report = evaluate("cloc_retrieval_refcoco", work_dir=tmp_path, options={**MINI, "data_root": official})
    assert report.scores.as_dict()["regions"] == sum(map(len, expected))
    assert "RefCOCO val (split by UNC), first expressions" in str(report)
