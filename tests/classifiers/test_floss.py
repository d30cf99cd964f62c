"""Experts of templates against plain loops, and what becomes of rankings that do not fit."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.contracts import Examples
from densevl.classifiers.floss import FLOSS, merge_experts
from densevl.classifiers.templates import Rankings, TemplateEntropies
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary, templates

THINGS = Vocabulary.parse("cat, sofa|couch, dog")
NAMES = templates("tcl")


@pytest.fixture
def texts():
    generator = torch.Generator().manual_seed(2)
    each = F.normalize(torch.randn(4, len(NAMES), 6, generator=generator), dim=2)
    vectors = F.normalize(each.mean(1), dim=1)
    return TextEmbeddings(vectors, torch.tensor(THINGS.query_classes), THINGS, "tiny", "tcl", each=each)


def units(count, seed=4):
    return F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


def class_shares(vectors, queries, temperature=10.0):
    logits = temperature * vectors.double() @ queries.double().T
    return torch.stack([logits[:, 0], logits[:, 1:3].amax(1), logits[:, 3]], 1).softmax(1)


def ranked(texts, vectors):
    entropies = TemplateEntropies(texts, 10.0)
    for some in vectors.split(7):
        entropies.add(some)
    return entropies


def test_entropies_are_means_where_a_template_finds_the_class(texts):
    vectors = units(40)
    found = ranked(texts, vectors)
    for template in range(len(NAMES)):
        shares = class_shares(vectors, texts.each[:, template])
        for label in range(3):
            own = [float(-(p * p.log()).sum()) for p in shares if int(p.argmax()) == label]
            expected = sum(own) / len(own) if own else float("inf")
            assert float(found.means[label, template]) == pytest.approx(expected, abs=1e-5)
    rankings = found.rankings(NAMES)
    assert rankings.classes["cat"][0] == NAMES[int(found.means[0].argmin())]
    assert set(rankings.classes["cat"]) == set(NAMES)


def test_merging_by_loops():
    generator = torch.Generator().manual_seed(1)
    default = (2 * torch.randn(50, 4, generator=generator)).softmax(1)
    experts = (2 * torch.randn(3, 50, 4, generator=generator)).softmax(2)
    owners = (0, 2, 3)
    expected = default.clone()
    for place in range(50):
        own = [(float(one[place].max()), i) for i, one in enumerate(experts) if int(one[place].argmax()) == owners[i]]
        if own:
            expected[place] = experts[max(own)[1], place]
    assert torch.equal(merge_experts(default, zip(owners, experts, strict=True)), expected)
    assert not torch.equal(expected, default)
    assert torch.equal(merge_experts(default, []), default)


def test_the_classifier_is_that_of_its_experts(texts, tmp_path):
    rankings = ranked(texts, units(40)).rankings(NAMES)
    rankings.save(tmp_path / "rankings.json")
    method = FLOSS(tmp_path / "rankings.json", count=2)
    assert method.name == FLOSS(rankings.data, count=2).name != FLOSS(rankings, count=3).name
    vectors = units(30, seed=8)
    found = method.fit(texts, temperature=10.0)(vectors).softmax(1)
    experts = []
    for label, name in enumerate(THINGS.names):
        chosen = [NAMES.index(template) for template in rankings.classes[name][:2]]
        experts.append((label, class_shares(vectors, F.normalize(texts.each[:, chosen].mean(1), dim=1))))
    expected = merge_experts(class_shares(vectors, texts.vectors), experts)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    one_by_one = torch.cat([method.fit(texts, temperature=10.0)(one[None]) for one in vectors]).softmax(1)
    torch.testing.assert_close(found, one_by_one)


def test_a_class_that_was_never_found_has_no_expert(texts):
    rankings = ranked(texts, units(40)).rankings(NAMES)
    fewer = replace(rankings, classes={"dog": rankings.classes["dog"]})
    assert FLOSS(fewer).fit(texts).owners.tolist() == [2]
    with pytest.raises(UsageError, match="have no class"):
        FLOSS(replace(rankings, classes={})).fit(texts)


def test_rankings_that_do_not_fit_are_one_error(texts, tmp_path):
    rankings = ranked(texts, units(40)).rankings(NAMES)
    with pytest.raises(UsageError, match=r"needs rankings.*rank_templates"):
        FLOSS().fit(texts)
    with pytest.raises(UsageError, match="rankings are of the encoder 'other'"):
        FLOSS(replace(rankings, model_id="other")).fit(texts)
    with pytest.raises(UsageError, match="rankings are of the templates 'none'"):
        FLOSS(replace(rankings, templates="none")).fit(texts)
    with pytest.raises(UsageError, match="no ranking of dog"):
        FLOSS(replace(rankings, classified=("cat", "sofa"))).fit(texts)
    with pytest.raises(UsageError, match="10 ranked templates of 'cat' are wanted: 9 only"):
        FLOSS(rankings, count=10).fit(texts)
    with pytest.raises(UsageError, match="a template or more"):
        FLOSS(rankings, count=0)
    with pytest.raises(UsageError, match="uses no examples"):
        FLOSS(rankings).fit(texts, Examples(torch.eye(6), torch.zeros(6).long(), "tiny"))
    with pytest.raises(UsageError, match="without the vectors of each template"):
        TemplateEntropies(replace(texts, each=None), 1.0)
    with pytest.raises(UsageError, match="cannot be read"):
        Rankings.load(tmp_path / "missing.json")
    for wrong in ("[]", '{"classes": []}', '{"encoder": "a", "templates": "b", "classified": [1], "classes": {}}'):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(UsageError, match="holds no rankings of templates"):
            FLOSS(str(tmp_path / "wrong.json"))
