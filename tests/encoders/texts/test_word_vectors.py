"""Words beyond the lexicon by the vectors of a real spaCy vocabulary of a few words."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.core.readings import UnknownWord
from densevl.encoders.texts.lexicon import lexicon
from densevl.encoders.texts.word_vectors import NEAREST, WordVectors

spacy = pytest.importorskip("spacy")

ANIMALS, TOOLS = ("zebra", "ostrich", "ox", "ram", "bison", "giraffe"), ("hammer", "screwdriver", "scissors")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline on disk whose vectors are those of animals and of tools."""
    made = spacy.blank("en")
    rng = np.random.default_rng(0)
    for axis, words in enumerate((ANIMALS, TOOLS)):
        for word in words:
            made.vocab.set_vector(word, (np.eye(8)[axis] + 0.1 * rng.standard_normal(8)).astype(np.float32))
    folder = tmp_path_factory.mktemp("pipeline")
    made.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def vectors(pipeline):
    return WordVectors(pipeline, lexicon().synonyms)


def test_an_unknown_word_covers_the_classes_nearest_to_it(vectors):
    classes = vectors(["giraffe"])
    assert len(classes) == NEAREST
    assert set(classes) <= set(lexicon().read("animal").classes)
    assert {"zebra", "ox", "bison"} & {lexicon().classes[index] for index in classes}
    assert lexicon().classes[vectors(["scissors"])[0]] in ("hammer", "screwdriver")
    assert vectors(["xyzzy"]) == ()


def test_only_words_that_are_not_known_are_guessed_and_that_is_said(vectors):
    guessed, known, unknown = lexicon().understand(["a tall giraffe", "zebra", "xyzzy"], vectors)
    assert guessed.remarks[0].startswith("not known; guessed by its nearest in word vectors: ")
    assert set(guessed.classes) == set(vectors(["giraffe"]))
    assert known.classes == (340,)
    assert isinstance(unknown, UnknownWord)


def test_what_covers_nearly_everything_is_not_guessed(vectors):
    assert isinstance(lexicon().understand(["object"], vectors)[0], UnknownWord)


@pytest.mark.parametrize("source", ["no_such_package", "/no/such/folder", "json"])
def test_a_source_without_vectors_is_named_with_the_cure(source):
    with pytest.raises(UsageError, match=r"no word vectors in .*densevl\[vectors\]"):
        WordVectors(source, lexicon().synonyms)


def test_damaged_vectors_are_an_error(pipeline, tmp_path):
    (tmp_path / "vocab").mkdir()
    (tmp_path / "vocab" / "vectors").write_bytes(b"no vectors")
    (tmp_path / "vocab" / "strings.json").write_text("[]")
    with pytest.raises(UsageError, match="cannot be read"):
        WordVectors(tmp_path, lexicon().synonyms)
