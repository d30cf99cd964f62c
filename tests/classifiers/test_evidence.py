"""Evidence: neighbours, promises and what too few examples cannot promise; kept in files of classes."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from densevl import Classes, UsageError, Vocabulary, WeightsError
from densevl.classifiers.classes import Head
from densevl.classifiers.contracts import LinearClassifier
from densevl.classifiers.evidence import Evidence
from densevl.classifiers.sums import Sums
from densevl.core.tensor_header import header_texts

WORDS, MODEL, SPACE, DIM = Vocabulary.parse("bolt, nut"), "tiny@1", "regions: test", 4


def evidence(n=40, held=None, seed=0):
    draw = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(n, DIM, generator=draw), dim=1)
    held = n if held is None else held
    return Evidence(
        vectors.half(),
        torch.arange(n) % 2,
        torch.rand(n, 4, generator=draw),
        torch.arange(n) % 3,
        ("a.jpg", "b.jpg", "c.jpg"),
        torch.rand(held, generator=draw),
        torch.arange(held) % 2,
        torch.rand(held, generator=draw),
    )


def classes(own=None):
    own = evidence() if own is None else own
    linear = LinearClassifier(torch.randn(2, DIM), torch.zeros(2), WORDS, MODEL, SPACE)
    sums = Sums.of(own.vectors.float(), own.labels, 2)
    return Classes(WORDS, {"regions": Head(linear, DIM, sums, {}, own)}, {"name": "mini"})


def test_neighbours_are_the_nearest_examples():
    own, vectors = evidence(), F.normalize(torch.randn(5, DIM), dim=1)
    for vector, found in zip(vectors, own.neighbours(vectors, 3), strict=True):
        cosines = own.vectors.float() @ vector
        rows = cosines.argsort(descending=True)[:3].tolist()
        assert [one.similarity for one in found] == pytest.approx(cosines[rows].tolist(), abs=1e-5)
        assert [one.label for one in found] == own.labels[rows].tolist()
        assert [one.image for one in found] == [own.images[int(own.places[row])] for row in rows]
        assert found[0].box == pytest.approx(tuple(own.boxes[rows[0]].tolist()))
    assert evidence(0).neighbours(vectors) == [[]] * 5


def test_a_share_of_the_known_lies_beyond_its_limit():
    own = evidence(99)
    for share in (0.01, 0.05, 0.5):
        beyond = int((own.doubts > own.limit(share)).sum())
        assert beyond == pytest.approx(100 * share - 1, abs=1)
        assert beyond <= 100 * share
        p = own.p_values(torch.tensor([own.limit(share) + 1e-6]))
        assert float(p[0]) <= share + 1e-6


def test_p_values_by_their_definition():
    own = evidence(9)
    for doubt in [*own.doubts.tolist(), -1.0, 2.0]:
        expected = (1 + int((own.doubts >= doubt).sum())) / 10
        assert float(own.p_values(torch.tensor([doubt]))[0]) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, -1, 0.95, math.nan])
def test_a_share_that_is_none(share):
    with pytest.raises(UsageError, match=r"the share of known things that may be called unknown, such as 0\.05"):
        evidence().limit(share)


def test_too_few_held_out_examples_promise_nothing():
    with pytest.raises(UsageError, match=r"--unknown 0\.05 needs 19 held-out examples, and there are 18"):
        evidence(held=18).limit(0.05)
    assert evidence(held=19).limit(0.05) > 0
    with pytest.raises(UsageError, match="sets that hold 90% needs 9 held-out examples, and there are 8"):
        evidence(held=8).sets(torch.tensor([[0.5, 0.5]]))
    with pytest.raises(UsageError, match="coverage is a fraction"):
        evidence().sets(torch.tensor([[0.5, 0.5]]), 90)


def test_evidence_adds_up():
    first, second = evidence(5), evidence(7, seed=1)
    both = first + second
    assert len(both.vectors) == 12
    assert both.images == first.images + second.images
    vectors = second.vectors[:1].float()
    assert both.neighbours(vectors, 1)[0][0].image == second.neighbours(vectors, 1)[0][0].image


def test_a_file_keeps_it(tmp_path):
    before = classes()
    before.save(tmp_path / "taught.safetensors")
    after = Classes.load(tmp_path / "taught.safetensors")
    own = after.heads["regions"].evidence
    assert own.images == ("a.jpg", "b.jpg", "c.jpg")
    assert torch.equal(own.vectors, before.heads["regions"].evidence.vectors)
    assert after.digest == before.digest
    vectors = F.normalize(torch.randn(6, DIM), dim=1)
    assert torch.equal(after.sets(vectors), before.sets(vectors))
    assert torch.equal(after.sets(vectors, each=True), before.sets(vectors, each=True))


def test_classes_with_an_unknown():
    own = classes()
    opened = own.with_unknown(0.1)
    assert opened.names == ("bolt", "nut", "unknown")
    assert opened.digest not in (own.digest, own.with_unknown(0.2).digest)
    vectors = torch.cat([F.normalize(torch.randn(6, DIM), dim=1), torch.full((1, DIM), 50.0)])
    assert int(opened.head("regions")(vectors).argmax(1)[-1]) == 2
    with pytest.raises(UsageError, match="save the classes as they were taught"):
        opened.save("nowhere.safetensors")


def test_without_evidence_nothing_is_promised():
    bare = classes()
    bare = replace(bare, heads={"regions": replace(bare.heads["regions"], evidence=None)})
    with pytest.raises(UsageError, match="do not say what they were taught by"):
        bare.with_unknown(0.05)
    with pytest.raises(UsageError, match="do not say what they were taught by"):
        bare.sets(torch.zeros(1, DIM))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("regions.evidence.labels", torch.full((40,), 2)),
        ("regions.evidence.places", torch.full((40,), 3)),
        ("regions.evidence.vectors", torch.zeros(40, DIM + 1).half()),
        ("regions.evidence.doubts", torch.zeros(41)),
        ("regions.evidence.scores", torch.zeros(3)),
    ],
)
def test_damaged_evidence_is_refused(name, value, tmp_path):
    path = tmp_path / "taught.safetensors"
    classes().save(path)
    save_file({**load_file(path), name: value}, path, header_texts(path))
    with pytest.raises(WeightsError, match=r"is damaged \("):
        Classes.load(path)
