"""ResCLIP against the outputs of its published code: features, first labels, feedback."""

import pytest
import torch
from toys.dense_golden import assert_close, assert_features, outputs, picture, texts_of

from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.feedback import feedback_of_labels
from densevl.dense.readouts.resclip import ResCLIPReadout, patch_labels


@pytest.mark.parametrize("name", ["square", "wide"])
def test_resclip(quick_rule_encoder, name):
    case = outputs(f"resclip_{name}")
    image = picture(case)[None]
    (tau, share), (feedback_scale, feedback) = case["rcs"].tolist(), case["sfr"].tolist()
    residual = {"residual": share, "residual_scale": tau}
    threshold = case["temp_thd"]
    texts = texts_of(case, quick_rule_encoder.model_id)

    def features(**settings):
        readout = ResCLIPReadout(threshold=threshold, **settings)
        return DenseEncoder(quick_rule_encoder, readout, positions="plus", border="drop")(image, texts=texts).grid[0]

    second = {"feedback": feedback, "feedback_scale": feedback_scale}
    assert_features(features(**residual, **second), case)
    assert_close(features(residual=0, **second)[::16], case["sfr_only_sub"])
    first = features(**residual, feedback=0)
    assert_close(first[::16], case["rcs_only_sub"])
    labels = patch_labels(first, image[0], texts, threshold, temperature=40.0)
    assert (labels.numpy() == case["patch_classes"]).all()
    alike = torch.nn.functional.pad(feedback_of_labels(labels[None])[0], (1, 0, 1, 0))
    assert_close(alike[case["sfr_row_token"]], case["sfr_row"])
    assert_close(alike.diagonal(), case["sfr_diag"])
