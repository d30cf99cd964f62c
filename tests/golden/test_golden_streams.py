"""GEM and CLIP Surgery against the outputs of their published codes: features, whole images, heat maps."""

import pytest
import torch
from toys.dense_golden import assert_close, assert_features, cosines, outputs, picture, texts_of

from densevl.dense.encoder import DenseEncoder
from densevl.dense.stages.whole_image import Redundancy
from densevl.tasks.segmentation.segmentor import Segmentor


@pytest.mark.parametrize("name", ["square", "wide"])
def test_gem(quick_rule_encoder, name):
    case = outputs(f"gem_{name}")
    settings = {"positions": "antialias", "border": "drop"}
    dense = DenseEncoder(quick_rule_encoder, "gem", **settings)
    assert_features(dense(picture(case)[None]).grid[0], case)
    plain = DenseEncoder(quick_rule_encoder, "plain", **settings)
    assert_close(plain(picture(case)[None]).grid[0, ::16], case["plain_sub"])

    segmentor = Segmentor(
        quick_rule_encoder, "gem", window=None, average="logits", temperature=1.0, stages=["min-max"], **settings
    )
    texts = texts_of(case, quick_rule_encoder.model_id)
    encoded = segmentor.encode_resized([picture(case)], [tuple(case["size"].tolist())])[0]
    probabilities = segmentor.scores(encoded, texts)
    heat = torch.from_numpy(case["heat_sub"])
    assert_close(probabilities[:, ::8, ::8], heat.softmax(0).numpy())
    assert (segmentor.label(encoded, texts)[0][::8, ::8] == heat.argmax(0)).float().mean() >= 0.999


def test_gem_of_other_settings(quick_rule_encoder):
    case = outputs("gem_depth4")
    readout = {
        "type": "gem",
        "blocks": case["depth"] - 1,
        "iterations": case["iterations"],
        "temperature": case["temperature"],
    }
    found = DenseEncoder(quick_rule_encoder, readout, positions="antialias", border="drop")(picture(case)[None])
    assert_close(found.grid[0, ::8], case["features_sub"])


@pytest.mark.parametrize("name", ["native", "larger"])
def test_clip_surgery(quick_rule_encoder, name):
    case = outputs(f"clip_surgery_{name}")
    found = DenseEncoder(quick_rule_encoder, "clip-surgery", positions="bilinear")(picture(case)[None])
    assert_features(found.grid[0], case)
    assert_close(found.whole[0], case["class_token"])
    texts = texts_of(case, quick_rule_encoder.model_id)
    assert_close(Redundancy()(cosines(found.grid[0], case["text"])[None], found, texts)[0], case["surgery"])
