"""Every registered method of examples, as ``densevl teach --method NAME`` fits it, judged and written to a file."""

import pytest
import torch
from toys.few_examples import few_shot_task

from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.classes import Classes
from densevl.tasks.teaching.fitting import fit_head

METHODS = sorted(set(CLASSIFIERS.rows) - {"closed-set", "floss", "text"})
TAKES_CAPTIONS = "caps-adapter"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_judged_calibrated_and_kept(name, tmp_path):
    texts, examples, test = few_shot_task(shots=4)
    examples = examples._replace(space="regions: x", groups=torch.arange(12), things=torch.arange(12))
    if name == TAKES_CAPTIONS:
        examples = examples._replace(captions=examples.vectors)
    head, held = fit_head(name, texts, examples, 20.0)
    assert held is not None
    assert held.facts["examples"] == 12
    assert held.facts["accuracy"] > 0.8
    assert name.startswith(head.facts["method"]), "a row with settings goes by the name of its method"
    Classes(texts.vocabulary, {"regions": head}, {"name": "toy"}).save(tmp_path / "taught")
    again = Classes.load(tmp_path / "taught").head("regions")
    assert torch.equal(again(test.vectors), head.classifier(test.vectors))
    assert (again(test.vectors).argmax(1) == test.labels).float().mean() > 0.8
    assert again.space == "regions: x"
