"""Descriptions of classes: their file, and their vectors."""

import json

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.training.tuning.descriptions import description_vectors, descriptions_of, read_descriptions


def test_a_file_is_read_and_names_are_found_whatever_their_case(tmp_path):
    file = tmp_path / "texts.json"
    file.write_text(json.dumps({"Red  circle": ["it is round"], "star": ["it has points", "it shines"]}))
    known = read_descriptions(file)
    assert descriptions_of(["star", "red circle"], known) == [("it has points", "it shines"), ("it is round",)]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([], r'descriptions are \{"name of a class": \["a text", …\], …\}; got \[\]'),
        ({"star": []}, "descriptions of 'star' are a list of one text or more"),
        ({"star": "it shines"}, "descriptions of 'star' are a list .* got 'it shines'"),
        ({"star": ["it shines", " "]}, "none of them blank"),
    ],
)
def test_another_form_is_refused(tmp_path, content, error):
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=error):
        read_descriptions(file)


def test_a_class_without_any_is_named():
    with pytest.raises(
        UsageError, match="2 of 3 classes have no descriptions: ring, cross; the file has those of star"
    ):
        descriptions_of(["ring", "star", "cross"], {"star": ["it shines"], "moon": []})


def test_vectors_are_those_of_the_texts_which_go_round_where_a_class_has_fewer(small_clip):
    known = {"star": ["it shines", "it has points", "it is far"], "ring": ["it is round", "it has a hole"]}
    found = description_vectors(small_clip, ["ring", "star"], known)
    texts = ["it is round", "it has a hole", "it is round", "it shines", "it has points", "it is far"]
    torch.testing.assert_close(found.flatten(0, 1), small_clip.embed_texts(texts))
    assert not found.requires_grad


def test_long_texts_lose_their_last_words(small_clip):
    known = {"star": ["it shines " * 60]}
    kept = small_clip.fit_texts(known["star"])[0]
    torch.testing.assert_close(description_vectors(small_clip, ["star"], known)[0], small_clip.embed_texts(kept))
