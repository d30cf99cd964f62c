"""TinyCLIP as auto inheritance publishes it: other widths, heads and units in each block, blocks without attention."""

import pytest
import torch
from safetensors.torch import save_file
from toys.golden import assert_agrees, golden, golden_image, rule_state

from densevl.core.images import normalise
from densevl.encoders.loading import build_clip

ARCH = {
    "embed_dim": 48,
    "vision_cfg": {"tower": "free", "image_size": 32, "patch_size": 8},
    "text_cfg": {"tower": "free"},
}


def published():
    """Tensors by the names of the file, the second copy of both encoders included."""
    names = golden("tinyclip")["pruned_names"].tolist()
    state = rule_state(name for name in names if "_without_ddp" not in name)
    twins = {name.partition(" ")[0] for name in names} - set(state)
    first = {twin: twin.replace("image_encoder_without_ddp", "_image_encoder") for twin in twins}
    first = {twin: name.replace("text_encoder_without_ddp", "_text_encoder") for twin, name in first.items()}
    return state | {twin: state[name].clone() for twin, name in first.items()}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    file = tmp_path_factory.mktemp("tinyclip") / "TinyCLIP-auto-ViT-tiny.safetensors"
    save_file(published(), file)
    return build_clip(file, ARCH, text_cache=False)


def test_images(encoder):
    image = normalise(golden_image("open-tiny", 32), encoder.mean, encoder.std)
    assert_agrees(encoder.image.embed(image), golden("tinyclip")["image_embedding"])
    with torch.no_grad():
        assert_agrees(encoder.model.visual(image), golden("tinyclip")["image_embedding"])


def test_texts(encoder):
    tokens = torch.from_numpy(golden("tinyclip")["tokens"])
    assert_agrees(encoder.text.encode(tokens), golden("tinyclip")["text_embedding"])
    with torch.no_grad():
        assert_agrees(encoder.model.encode_text(tokens), golden("tinyclip")["text_embedding"])


@pytest.mark.parametrize("prefix", ["_image_encoder.module.", "_text_encoder.module.", "_logit_scale.module."])
def test_names_of_data_parallel_training(encoder, prefix, tmp_path):
    plain = prefix.replace("module.", "")
    file = tmp_path / "parallel.safetensors"
    save_file({name.replace(plain, prefix): tensor for name, tensor in published().items()}, file)
    other = build_clip(file, ARCH, text_cache=False).model.state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in encoder.model.state_dict().items())
