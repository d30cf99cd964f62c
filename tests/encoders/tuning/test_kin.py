"""What was trained on an encoder goes on reading it when it was tuned."""

import pytest

import densevl
from densevl.core.delta import before_tuning
from densevl.core.tensor_bytes import tensor_bytes
from densevl.datasets.scenes import render
from densevl.encoders.tuning.attached import built, delta_of


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The mini model with other layer norms inside its encoder."""
    encoder = densevl.load("mini", device="cpu").segmentor.encoder
    (norms,) = built(encoder, [{"type": "norms"}])
    for parameter in norms.parameters():
        parameter.data.mul_(1.05)
    delta = delta_of([norms], encoder.model_id)
    file = tmp_path_factory.mktemp("tuned") / "delta.safetensors"
    file.write_bytes(tensor_bytes(delta.flat, {"delta": delta.header}))
    return densevl.load("mini", device="cpu", **{"encoder.delta": str(file)}), delta


def test_heads_and_prompters_read_the_tuned_encoder(tuned):
    model, delta = tuned
    plain = densevl.load("mini", device="cpu")
    scene = render(3, 1)
    assert model.embedder.encoder.model_id.startswith(delta.tuned_id)
    boxes = [list(item.box) for item in scene.objects]
    ours, theirs = (one.embed(scene.image, boxes).vectors for one in (model, plain))
    assert 0.5 < float((ours * theirs).sum(1).min()) < 0.9999
    assert model.segment(scene.image, ["grass", "red circle"]).labels.shape == scene.labels.shape


def test_the_identity_before_tuning_is_told_from_other_changes(tuned):
    _, delta = tuned
    assert before_tuning(delta.tuned_id) == delta.model_id
    assert before_tuning("arch@file+base") == "arch@file+base"
