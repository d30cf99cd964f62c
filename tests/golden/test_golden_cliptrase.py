"""CLIPtrase against the outputs of its published code: features, clusters, labels after the vote."""

import pytest
from toys.dense_golden import assert_close, assert_features, outputs, picture, texts_of

from densevl.dense.operations.clusters import dbscan
from densevl.dense.readouts.cliptrase import cluster_weights
from densevl.encoders.contracts import Needs
from densevl.tasks.segmentation.segmentor import Segmentor


@pytest.mark.parametrize("name", ["small", "voc20", "large"])
def test_cliptrase(quick_rule_encoder, name):
    case = outputs(f"cliptrase_{name}")
    image, settings = picture(case), {"eps": case["eps"], "min_samples": case["min_samples"]}
    last = quick_rule_encoder.last_block(image[None], Needs(states=(-2,)), positions="plus", border="drop")
    (weights,) = cluster_weights(last)
    assert_close(weights[case["weights_row_patch"]], case["weights_row"])
    assert (dbscan(weights, **settings).view(last.grid).numpy() == case["clusters"]).all()

    segmentor = Segmentor(
        quick_rule_encoder,
        {"type": "cliptrase", **settings},
        window=None,
        average="logits",
        positions="plus",
        border="drop",
        stages=["class-scores", "cluster-vote"] if name == "voc20" else ["cluster-vote"],
    )
    texts = texts_of(case, quick_rule_encoder.model_id)
    (encoded,) = segmentor.encode_resized([image], [tuple(case["size"].tolist())])
    assert_features(encoded.features.grid[0], case)
    assert_close(encoded.features.whole[0], case["class_token"])
    labels, _ = segmentor.label(encoded, texts)
    assert (labels[::2, ::2].numpy() == case["final_labels_sub"]).mean() >= 0.999
