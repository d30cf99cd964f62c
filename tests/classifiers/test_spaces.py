"""Classes of other vectors are refused with what differs, in one short line."""

import json

import pytest
import torch

from densevl import UsageError, Vocabulary
from densevl.classifiers.contracts import LinearClassifier, check_classifier

MARKED = {"type": "marked-images", "visual_prompts": {"crop": 1.0}, "style": {"line": "red", "alpha": 0.5}, "size": 128}


def refused(given):
    space = f"regions: {json.dumps(MARKED)}"
    classifier = LinearClassifier(torch.zeros(2, 3), torch.zeros(2), Vocabulary.parse("bolt, nut"), "tiny@1", space)
    check_classifier(classifier, "tiny@1", space)
    with pytest.raises(UsageError, match="made for other vectors of this model") as caught:
        check_classifier(classifier, "tiny@1", given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


def test_the_settings_that_differ_are_named_alone():
    said = refused(f"regions: {json.dumps({**MARKED, 'size': 224})}")
    assert "size was 128 and is 224; load the model as it was taught" in said
    assert "style" not in said


def test_another_type_is_named_without_its_settings():
    other = {"type": "mask-pooling", "scales": [1] * 400, "size": 7}
    assert "type was marked-images and is mask-pooling;" in refused(f"regions: {json.dumps(other)}")


@pytest.mark.parametrize("given", [None, "stack {}", "regions: not JSON", "regions: [1]"])
def test_spaces_of_another_kind_are_named(given):
    assert (given or "those of texts") in refused(given)
