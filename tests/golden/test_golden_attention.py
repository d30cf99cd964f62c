"""SCLIP, ClearCLIP, PEARL and ProxyCLIP against the outputs of published code, or of published formulas."""

import pytest
import torch
from toys.dense_golden import assert_close, assert_features, features, outputs, picture, tokens, vocabulary_of

from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.affinity import gate, token_cosines
from densevl.dense.readouts import READOUTS
from densevl.dense.readouts.pearl import PEARLReadout
from densevl.dense.stages.tlp import TextLaplacian, self_likeness
from densevl.tasks.segmentation.segmentor import Segmentor

PROTOCOL = {"positions": "plus", "border": "drop"}
SHAPES = ["square", "wide"]


def read(encoder, readout, case):
    return DenseEncoder(encoder, readout, **PROTOCOL)(picture(case)[None]).grid[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["sclip", "clearclip"])
def test_features(quick_rule_encoder, name, shape):
    case = outputs(f"{name}_{shape}")
    assert_features(read(quick_rule_encoder, name, case), case)


@pytest.mark.parametrize("shape", SHAPES)
def test_positions(quick_rule_encoder, shape):
    case = outputs(f"sclip_{shape}")
    tower = quick_rule_encoder.image
    grid = tuple(side // tower.patch_size for side in case["size"].tolist())
    native = tower.visual.positional_embedding
    found = tower._positions.resized(native, tuple(tower.visual.grid_size), grid, native.dtype, "plus")
    assert_close(found[:, ::96], case["positions_sub"])


@pytest.mark.parametrize("shape", SHAPES)
def test_pearl(quick_rule_encoder, shape):
    case = outputs(f"pearl_attention_{shape}")
    assert_features(read(quick_rule_encoder, "pearl", case), case)
    assert_close(read(quick_rule_encoder, PEARLReadout(alpha=0.3), case)[::16], case["alpha03_sub"])
    assert_close(read(quick_rule_encoder, PEARLReadout(steps=None), case)[::16], case["svd_sub"])


@pytest.mark.parametrize("name", ["pipeline", "whole"])
def test_the_protocol_of_sclip(quick_rule_encoder, name):
    case = outputs(f"{name}_sclip")
    windows = {"window": case["window"], "stride": case["stride"]} if name == "pipeline" else {"window": None}
    segmentor = Segmentor(
        quick_rule_encoder,
        "sclip",
        short_side=None,
        temperature=float(case["scale"]),
        average="logits",
        normalise=False,
        upsampling="image" if name == "pipeline" else "direct",
        stages=[{"type": "min-area", "area": case["area"]}],
        **windows,
        **PROTOCOL,
    )
    texts = vocabulary_of(case, quick_rule_encoder.model_id)
    encoded = segmentor.encode_resized([picture(case)], [tuple(case["original_size"].tolist())])[0]
    assert_close(segmentor.scores(encoded, texts)[:, ::8, ::8], case["probabilities_sub"])
    labels, _ = segmentor.label(encoded, texts)
    assert (labels.numpy() == case["labels"]).mean() >= 0.999


class RuleGuide(torch.nn.Module):
    """Tokens of another model by rule, whatever the images show."""

    def __init__(self, case):
        super().__init__()
        grid = tuple(case["proxy_grid"].tolist())
        self.name = case["proxy"]
        self.tokens = tokens(case["proxy"], grid, case["proxy_dim"])

    def forward(self, images):
        return DenseFeatures(self.tokens.expand(len(images), -1, -1, -1), 8, self.name)


@pytest.mark.parametrize("name", ["same", "finer"])
def test_proxyclip(quick_rule_encoder, name):
    case = outputs(f"proxy_{name}")
    guide = RuleGuide(case)
    term = {"pair": "guide", "beta": case["beta"], "gamma": case["gamma"]}
    readout = build(READOUTS, {"type": "proxyclip", "terms": [term], "guide": guide})
    assert_features(read(quick_rule_encoder, readout, case), case)
    weights = gate(token_cosines(guide.tokens.flatten(1).T[None]), case["beta"], case["gamma"])
    assert_close(weights[0, 0], case["weights_row0"])


@pytest.mark.parametrize("name", ["small", "city"])
def test_tlp(rules, name):
    case = outputs(f"pearl_tlp_{name}")
    image, (height, width), step = case["image"], case["size"].tolist(), case["stride"]
    count = len(case["result_sum"])
    vectors = torch.from_numpy(rules.rule_text(f"{image}.text", count, 512))
    assert_close(self_likeness(vectors), case["text_similarity_diag"])
    words = Vocabulary("reference", tuple((f"class {k}",) for k in range(count)))
    texts = TextEmbeddings(vectors, torch.arange(count), words, "rule", "none")
    coarse = (count, height // 16 + 1, width // 16 + 1)
    scores = torch.from_numpy(features().rule_scores(f"{image}.logits", coarse, (height, width)))
    found = TextLaplacian(grid=case["grid"])(scores, picture(case), texts=texts)
    assert_close(found[:, ::step, ::step], case["result_sub"])
    assert_close(found.sum((1, 2)), case["result_sum"])
    assert (found.argmax(0)[::step, ::step].numpy() == case["labels_sub"]).mean() >= 0.999


def test_the_protocol_of_pearl(quick_rule_encoder):
    case = outputs("pipeline_pearl")
    segmentor = Segmentor(
        quick_rule_encoder,
        {"type": "pearl", "alpha": case["alpha"]},
        short_side=None,
        window=case["window"],
        stride=case["stride"],
        temperature=float(case["scale"]),
        average="logits",
        stages=[{"type": "tlp", "grid": case["grid"]}],
        **PROTOCOL,
    )
    texts = vocabulary_of(case, quick_rule_encoder.model_id)
    encoded = segmentor.encode_resized([picture(case)], [tuple(case["original_size"].tolist())])[0]
    assert_close(segmentor.scores(encoded, texts)[:, ::8, ::8], case["probabilities_sub"])
    labels, _ = segmentor.label(encoded, texts)
    assert (labels.numpy() == case["labels"]).mean() >= 0.999
