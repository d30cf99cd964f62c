"""NACLIP against the outputs of its published code: features, PAMR, windows, the whole protocol."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.naclip import NACLIPReadout, neighbour_bias
from densevl.dense.smoothing.pamr import PAMR
from densevl.tasks.segmentation.segmentor import Segmentor

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folder(golden):
    return golden / "dense"


@pytest.fixture(scope="module")
def features(golden, folder, rules):
    """Scores made by rule."""
    sys.modules["rule_weights"] = rules
    spec = importlib.util.spec_from_file_location("rule_features", folder / "rule_features.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    del sys.modules["rule_weights"]
    return module


def picture(rules, outputs):
    pixels = rules.rule_image(str(outputs["image"].item()), *outputs["size"])
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def assert_close(found, expected):
    expected = torch.from_numpy(expected)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("name", ["square", "wide"])
def test_features(folder, rules, quick_rule_encoder, name):
    outputs = np.load(folder / f"naclip_{name}.npz")
    image = picture(rules, outputs)[None]
    found = DenseEncoder(quick_rule_encoder, "naclip", positions="plus", border="drop")(image).grid
    assert_close(found[0, ::8], outputs["features_sub"])
    cosines = torch.einsum("kd,dhw->khw", torch.from_numpy(outputs["text"]), F.normalize(found[0], dim=0))
    assert_close(cosines, outputs["similarity"])
    assert (cosines.argmax(0).numpy() == outputs["labels"]).mean() >= 0.999
    for changes, expected in (
        ({"residual": True, "mlp": True}, "naclip_residual_sub"),
        ({"sigma": None}, "kk_sub"),
    ):
        readout = NACLIPReadout(**changes)
        found = DenseEncoder(quick_rule_encoder, readout, positions="plus", border="drop")(image).grid
        assert_close(found[0, ::16], outputs[expected])
    grid = found.shape[2:]
    bias = F.pad(neighbour_bias(tuple(grid), 5.0, torch.device("cpu")), (1, 0, 1, 0))
    assert_close(bias[int(outputs["omega_row_token"])], outputs["omega_row"])


def test_pamr(folder, rules, features):
    outputs = np.load(folder / "pamr.npz")
    name, (height, width) = str(outputs["image"].item()), outputs["size"].tolist()
    image = picture(rules, outputs)
    scores = torch.from_numpy(features.rule_scores(f"{name}.logits", (7, height // 16, width // 16), (height, width)))
    assert_close(PAMR(1)(scores, image)[:, ::4, ::4], outputs["one_step"])
    after = PAMR(10)(scores, image)
    assert_close(after[:, ::2, ::2], outputs["ten_steps"])
    assert (after.argmax(0).numpy() == outputs["labels"]).mean() >= 0.999


@pytest.mark.parametrize(("name", "window", "steps"), [("pipeline", 224, 10), ("whole", None, 0)])
def test_the_whole_protocol(folder, rules, quick_rule_encoder, name, window, steps):
    outputs = np.load(folder / f"{name}_naclip.npz")
    temperature = float(outputs["scale"])
    segmentor = Segmentor(
        quick_rule_encoder,
        "naclip",
        short_side=None,
        window=window,
        stride=112,
        temperature=temperature,
        average="logits",
        smoothings=[{"type": "pamr", "steps": steps}] if steps else [],
        positions="plus",
        border="drop",
    )
    classes = outputs["query_class"].tolist()
    words = tuple(tuple(f"query {q}" for q, c in enumerate(classes) if c == k) for k in range(max(classes) + 1))
    texts = TextEmbeddings(
        torch.from_numpy(outputs["text"]),
        torch.tensor(classes),
        Vocabulary("reference", words, background=0),
        quick_rule_encoder.model_id,
        "none",
        threshold=float(outputs["threshold"]),
    )
    size = tuple(outputs["original_size"].tolist())
    encoded = segmentor.encode_resized([picture(rules, outputs)], [size])[0]
    assert_close(segmentor.scores(encoded, texts)[:, ::8, ::8], outputs["probabilities_sub"])
    labels, _ = segmentor.label(encoded, texts)
    assert (labels.numpy() == outputs["labels"]).mean() >= 0.999
