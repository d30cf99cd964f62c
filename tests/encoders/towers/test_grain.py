"""GRAIN's tower from a checkpoint of its training: the decoder against attention written out, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from toys.published_regions import grain_arch
from toys.region_models import grain_encoder_of, save_grain

from densevl.core.errors import UsageError, WeightsError
from densevl.core.images import normalise
from densevl.encoders.contracts import ImageTower
from densevl.encoders.loading import build_clip
from densevl.weights import load_state_dict


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return grain_encoder_of(tmp_path_factory.mktemp("grain"))


def _attention(state, name, query, key, value, heads=4):
    """Attention of each head by its formula."""
    weights, biases = state[f"{name}.in_proj_weight"].chunk(3), state[f"{name}.in_proj_bias"].chunk(3)
    parts = zip((query, key, value), weights, biases, strict=True)
    q, k, v = ((x @ w.T + b).unflatten(2, (heads, -1)).transpose(1, 2) for x, w, b in parts)
    mixed = ((q @ k.mT) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return mixed.transpose(1, 2).flatten(2) @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]


def _norm(state, name, x):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def _linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


@torch.no_grad()
def test_the_decoder_is_its_formula(tmp_path, encoder):
    state = load_state_dict(save_grain(tmp_path))
    images = normalise(torch.rand(2, 3, 32, 32), encoder.mean, encoder.std)
    tower = encoder.image
    memory = _norm(state, "transformer.pre_norm", tower.trunk.forward_features(images) @ state["proj.weight"].T)
    queries = state["query_embed.weight"]
    x = torch.zeros(2, 6, 32)
    for i in range(2):
        layer = f"transformer.decoder.layers.{i}"
        asked = _norm(state, f"{layer}.norm1", x)
        x = x + _attention(state, f"{layer}.self_attn", asked + queries, asked + queries, asked)
        asked = _norm(state, f"{layer}.norm2", x) + queries
        x = x + _attention(state, f"{layer}.multihead_attn", asked, memory, memory)
        hidden = _linear(state, f"{layer}.linear1", _norm(state, f"{layer}.norm3", x)).relu()
        x = x + _linear(state, f"{layer}.linear2", hidden)
    x = _norm(state, "transformer.decoder.norm", x)
    boxes = _linear(state, "bbox_embed.layers.0", x[:, :5]).relu()
    boxes = _linear(state, "bbox_embed.layers.2", _linear(state, "bbox_embed.layers.1", boxes).relu()).sigmoid()
    seen = tower.see(images)
    torch.testing.assert_close(seen.images, x[:, 5] @ state["img_proj"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(seen.things, x[:, :5] @ state["obj_proj"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(seen.boxes, boxes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tower.embed(images), seen.images)
    torch.testing.assert_close(tower.see(images[:1]).things[0], seen.things[0], atol=1e-5, rtol=1e-5)


def test_images_are_as_it_was_trained(encoder):
    assert encoder.resize == "squash"
    assert encoder.mean == (0.485, 0.456, 0.406)
    assert encoder.embed_images(torch.rand(2, 3, 50, 40)).shape == (2, 24)
    assert encoder.embed_texts(["a cat"]).shape == (1, 24)


def test_patches_are_refused(encoder):
    assert isinstance(encoder.image, ImageTower)
    with pytest.raises(UsageError, match="no place in the joint space"):
        encoder.image.to_joint(torch.zeros(1, 5, 48))
    with pytest.raises(UsageError, match="no place in the joint space"):
        encoder.image.head()


def test_a_checkpoint_without_its_clip_is_refused(tmp_path):
    path = save_grain(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["backbone_state_dict"]
    torch.save(checkpoint, path)
    with pytest.raises(WeightsError, match="another model"):
        build_clip(path, grain_arch(True))
