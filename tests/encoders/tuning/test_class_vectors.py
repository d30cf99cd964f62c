"""Learnt vectors of classes: what they begin as, and which classes have none."""

import pytest
import torch
from torch.nn.functional import normalize

from densevl.core.errors import UsageError
from densevl.encoders.tuning.class_vectors import ClassVectors
from densevl.encoders.tuning.contracts import ClassTexts

NAMES = ["cat", "potted plant"]


def test_they_begin_as_the_mean_of_descriptions_and_names_in_templates(small_clip):
    found = ClassVectors(small_clip, NAMES, ["a {}.", "the {}."], {"Cat": ["it purrs"]})
    assert isinstance(found, ClassTexts)
    cat = small_clip.embed_texts(["a cat.", "the cat.", "it purrs"]).mean(0)
    plant = small_clip.embed_texts(["a potted plant.", "the potted plant."]).mean(0)
    torch.testing.assert_close(found.class_vectors(NAMES), normalize(torch.stack([cat, plant]), dim=1))


def test_other_classes_keep_the_texts_of_their_names(small_clip):
    found = ClassVectors(small_clip, NAMES)
    mixed = found.class_vectors(["dog", "cat"])
    torch.testing.assert_close(mixed[0], small_clip.embed_texts(["dog"], ["a photo of a {}."])[0])
    torch.testing.assert_close(mixed[1], found.class_vectors(NAMES)[0])


def test_settings_build_its_shape_again(small_clip):
    found = ClassVectors(small_clip, NAMES, descriptions={"cat": ["it purrs"]})
    again = ClassVectors(small_clip, **found.settings)
    again.load_state_dict(found.state_dict())
    torch.testing.assert_close(again.class_vectors(NAMES), found.class_vectors(NAMES))


def test_no_names_and_folding_are_refused(small_clip):
    for names in ([], ["cat", "cat"]):
        with pytest.raises(UsageError, match="at least one class, each once"):
            ClassVectors(small_clip, names)
    with pytest.raises(UsageError, match="no weights of the encoder"):
        ClassVectors(small_clip, NAMES).fold(small_clip)
