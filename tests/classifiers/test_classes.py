"""Classes as values and as files: written, read, refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from densevl import Classes, TextEmbeddings, UsageError, Vocabulary, WeightsError
from densevl.classifiers.classes import Head
from densevl.classifiers.contracts import LinearClassifier, SumClassifier
from densevl.classifiers.sums import Sums
from densevl.classifiers.text import TextClassifier
from densevl.core.tensor_header import header_texts, is_tensor_file

WORDS = Vocabulary.from_classes([["gadget", "widget"], "gear"])
MODEL, SPACE = "tiny@1", "regions: test"


def linear(seed=0, words=WORDS):
    draw = torch.Generator().manual_seed(seed)
    return LinearClassifier(torch.randn(len(words), 4, generator=draw), torch.randn(len(words)), words, MODEL, SPACE)


def text():
    vectors = torch.eye(4)[:3]
    return TextClassifier(TextEmbeddings(vectors, torch.tensor([0, 0, 1]), WORDS, MODEL, "none"), 20.0)


def classes(classifier=None, **facts):
    vectors, labels = torch.randn(6, 4), torch.tensor([0, 1, 0, 1, 0, 1])
    head = Head(classifier or linear(), 4, Sums.of(vectors, labels, 2), {"method": "gda", **facts})
    return Classes(WORDS, {"regions": head}, {"name": "mini"})


@pytest.mark.parametrize("make", [linear, text, lambda: SumClassifier((text(), linear()), (1.0, 0.5))])
def test_a_file_gives_back_each_kind_of_classifier(make, tmp_path):
    vectors = torch.randn(5, 4)
    before = classes(make(), seed=3)
    before.save(tmp_path / "taught")  # no suffix says what a file is
    after = Classes.load(tmp_path / "taught")
    assert is_tensor_file(tmp_path / "taught")
    assert torch.equal(after.head("regions")(vectors), before.head("regions")(vectors))
    assert after.vocabulary == before.vocabulary
    assert after.heads["regions"].facts == {"method": "gda", "seed": 3}
    assert torch.equal(after.heads["regions"].sums.squares, before.heads["regions"].sums.squares)
    assert (after.head("regions").model_id, after.head("regions").space) == (MODEL, make().space and SPACE)
    assert after.digest == before.digest
    assert dict(after.model) == {"name": "mini"}


def test_equal_classes_are_equal_files_and_others_are_not():
    torch.manual_seed(1)
    first = classes()
    torch.manual_seed(1)
    assert classes().digest == first.digest
    torch.manual_seed(1)
    assert classes(seed=4).digest != first.digest


def test_the_header_can_be_read(tmp_path):
    classes(shots={"gadget": 3, "gear": 3}).save(tmp_path / "a.safetensors")
    header = header_texts(tmp_path / "a.safetensors")
    assert header["format"] == "densevl classes 1"
    assert json.loads(header["heads"])["regions"]["facts"]["shots"]["gadget"] == 3


def test_names_and_synonyms_have_labels():
    found = classes()
    assert [found.label(name) for name in ("Widget", "gear", "cat")] == [0, 1, None]


def test_later_tests_add_facts():
    noted = classes().noted("regions", check={"accuracy": 0.5})
    assert noted.heads["regions"].facts["check"] == {"accuracy": 0.5}
    with pytest.raises(UsageError, match="not for pixels; teach them with --for both"):
        noted.noted("pixels")


def test_what_is_no_file_of_classes_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(UsageError, match="there is no file"):
        Classes.load(path)
    path.write_text("gadget\n")
    assert not is_tensor_file(path)
    with pytest.raises(WeightsError, match="no file of classes"):
        Classes.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="holds no classes but other tensors"):
        Classes.load(path)


def rewritten(path, change):
    """The file with another header."""
    classes().save(path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + content[end:])


@pytest.mark.parametrize("at", [3, 40, 400, -30])
def test_a_file_that_was_cut_off_is_damaged(at, tmp_path):
    path = tmp_path / "a.safetensors"
    classes().save(path)
    path.write_bytes(path.read_bytes()[:at])
    with pytest.raises(WeightsError, match="damaged"):
        Classes.load(path)


def test_a_file_of_the_future_says_so(tmp_path):
    path = tmp_path / "a.safetensors"
    rewritten(path, lambda header: header["__metadata__"].update(format="densevl classes 2"))
    with pytest.raises(WeightsError, match="a later densevl"):
        Classes.load(path)


HEAD = '{"regions": {"dim": 4, "model_id": "m", "space": null, "facts": {}, "classifier": {"kind": "%s"}}}'


@pytest.mark.parametrize(
    "texts",
    [
        {"classes": "{"},
        {"classes": '{"name": "a", "classes": [], "background": null, "palette": [], "source": ""}'},
        {"classes": '{"name": "a", "classes": [["b"]], "background": null, "palette": [], "source": ""}'},
        {"heads": "[]"},
        {"heads": "{}"},
        {"heads": '{"regions": {}}'},
        {"heads": "[" * 100000},
        {"heads": HEAD % "os"},
        {"heads": HEAD % "sum"},
        {"model": "3"},
    ],
)
def test_a_damaged_header_is_one_error(texts, tmp_path):
    path = tmp_path / "a.safetensors"
    rewritten(path, lambda header: header["__metadata__"].update(texts))
    with pytest.raises(WeightsError, match="damaged"):
        Classes.load(path)


def test_numbers_that_are_not_finite_are_damage(tmp_path):
    broken = LinearClassifier(torch.full((2, 4), torch.nan), torch.zeros(2), WORDS, MODEL, SPACE)
    classes(broken).save(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="not finite"):
        Classes.load(tmp_path / "a.safetensors")


def test_heads_have_the_classes_and_known_names():
    other = Vocabulary.parse("cat, dog")
    with pytest.raises(UsageError, match="other classes"):
        Classes(WORDS, {"regions": Head(linear(words=other), 4)})
    with pytest.raises(UsageError, match="regions, pixels"):
        Classes(WORDS, {"images": Head(linear(), 4)})
    with pytest.raises(UsageError, match="got none"):
        Classes(WORDS, {})


def test_unknown_kinds_cannot_be_stored():
    class Odd:
        vocabulary, model_id, space = WORDS, MODEL, SPACE

        def __call__(self, vectors):
            return vectors

    with pytest.raises(UsageError, match="Odd cannot be stored"):
        classes(Odd()).save("never")
