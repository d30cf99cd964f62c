"""SC-CLIP and SFP against the outputs of their published codes: outliers, repaired maps, features, protocol."""

import pytest
import torch
from toys.dense_golden import assert_close, assert_features, cosines, outputs, picture, vocabulary_of

from densevl.core.attention import attend
from densevl.core.registry import build
from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.affinity import pair_weights, token_cosines
from densevl.dense.operations.outliers import attention_outliers, density_outliers, outlier_factors
from densevl.dense.operations.repair import repair
from densevl.dense.readouts import READOUTS
from densevl.encoders.contracts import LastBlock
from densevl.tasks.segmentation.labelling import scores
from densevl.tasks.segmentation.segmentor import Segmentor


def read(encoder, case, name) -> tuple[LastBlock, torch.Tensor]:
    """The last block of the image of a case, and its features by a readout."""
    image, readout = picture(case)[None], build(READOUTS, name)
    last = encoder.last_block(image, readout.needs, positions="plus", border="drop")
    return last, DenseEncoder(encoder, readout, positions="plus", border="drop")(image).grid[0]


@pytest.mark.parametrize("name", ["square", "other"])
def test_sc_clip(quick_rule_encoder, name):
    case = outputs(f"scclip_{name}")
    last, found = read(quick_rule_encoder, case, "sc-clip")
    patches = last.states[-1][:, last.prefix :]
    assert_close(outlier_factors(patches)[0], case["lof"])
    outliers = density_outliers(patches)
    assert outliers[0].nonzero()[:, 0].tolist() == case["outliers"].tolist()
    middle = repair(last.on_grid(last.states[9]), outliers.unflatten(1, last.grid)).flatten(2).mT
    assert_close(token_cosines(middle)[0, 0], case["mid_row0"])
    assert_features(found, case)


@pytest.mark.parametrize("name", ["square", "other"])
def test_sfp(quick_rule_encoder, name):
    case = outputs(f"sfp_{name}")
    last, found = read(quick_rule_encoder, case, "sfp")
    block = last.blocks[-2]
    queries, keys, values = block.qkv(block.norm_1(last.states[-2]))
    attention = pair_weights(queries, keys)
    torch.testing.assert_close(attention @ values, attend(queries, keys, values), rtol=1e-4, atol=1e-4)
    mean, prefix = attention.mean(1), last.prefix
    called = 1.5 * mean[0, 0, prefix:]
    assert_close(called, case["cls_to_patch"])
    assert_close(mean[0].diagonal()[prefix:], case["patch_self"])
    outliers = attention_outliers(mean, prefix)[0].nonzero()[:, 0]
    assert outliers[called[outliers].argsort(descending=True)].tolist() == case["outliers"].tolist()
    assert_features(found, case)


def test_the_whole_protocol(quick_rule_encoder):
    case = outputs("pipeline_scclip")
    segmentor = Segmentor(
        quick_rule_encoder,
        "sc-clip",
        short_side=None,
        window=case["window"],
        stride=case["stride"],
        temperature=float(case["scale"]),
        average="logits",
        normalise=False,
        positions="plus",
        border="drop",
    )
    texts = vocabulary_of(case, quick_rule_encoder.model_id)
    encoded = segmentor.encode_resized([picture(case)], [tuple(case["original_size"].tolist())])[0]
    similarity = torch.stack([cosines(one, case["text"]) for one in encoded.features.grid])
    merged = scores(similarity, encoded.plan, encoded.features.patch_size, encoded.size)
    assert_close(merged[:, ::8, ::8], case["logits_sub"])
    assert_close(segmentor.scores(encoded, texts)[:, ::8, ::8], case["probabilities_sub"])
    labels, _ = segmentor.label(encoded, texts)
    assert (labels.numpy() == case["labels"]).mean() >= 0.999
