"""NACLIP against the outputs of its published code: features, PAMR, windows, the whole protocol."""

import pytest
import torch
import torch.nn.functional as F
from toys.dense_golden import assert_close, assert_features, features, outputs, picture, vocabulary_of

from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.places import neighbour_bias
from densevl.dense.readouts.naclip import NACLIPReadout
from densevl.dense.stages.pamr import PAMR
from densevl.tasks.segmentation.segmentor import Segmentor


@pytest.mark.parametrize("name", ["square", "wide"])
def test_features(quick_rule_encoder, name):
    case = outputs(f"naclip_{name}")
    image = picture(case)[None]
    found = DenseEncoder(quick_rule_encoder, "naclip", positions="plus", border="drop")(image).grid
    assert_features(found[0], case)
    for changes, expected in (
        ({"residual": True, "mlp": True}, "naclip_residual_sub"),
        ({"sigma": None}, "kk_sub"),
    ):
        readout = NACLIPReadout(**changes)
        found = DenseEncoder(quick_rule_encoder, readout, positions="plus", border="drop")(image).grid
        assert_close(found[0, ::16], case[expected])
    grid = found.shape[2:]
    bias = F.pad(neighbour_bias(tuple(grid), 5.0, torch.device("cpu")), (1, 0, 1, 0))
    assert_close(bias[case["omega_row_token"]], case["omega_row"])


def test_pamr():
    case = outputs("pamr")
    name, (height, width) = case["image"], case["size"].tolist()
    image = picture(case)
    scores = torch.from_numpy(features().rule_scores(f"{name}.logits", (7, height // 16, width // 16), (height, width)))
    assert_close(PAMR(1)(scores, image)[:, ::4, ::4], case["one_step"])
    after = PAMR(10)(scores, image)
    assert_close(after[:, ::2, ::2], case["ten_steps"])
    assert (after.argmax(0).numpy() == case["labels"]).mean() >= 0.999


@pytest.mark.parametrize(("name", "window", "steps"), [("pipeline", 224, 10), ("whole", None, 0)])
def test_the_whole_protocol(quick_rule_encoder, name, window, steps):
    case = outputs(f"{name}_naclip")
    segmentor = Segmentor(
        quick_rule_encoder,
        "naclip",
        short_side=None,
        window=window,
        stride=112,
        temperature=float(case["scale"]),
        average="logits",
        stages=[{"type": "pamr", "steps": steps}] if steps else [],
        positions="plus",
        border="drop",
    )
    texts = vocabulary_of(case, quick_rule_encoder.model_id)
    encoded = segmentor.encode_resized([picture(case)], [tuple(case["original_size"].tolist())])[0]
    assert_close(segmentor.scores(encoded, texts)[:, ::8, ::8], case["probabilities_sub"])
    labels, _ = segmentor.label(encoded, texts)
    assert (labels.numpy() == case["labels"]).mean() >= 0.999
