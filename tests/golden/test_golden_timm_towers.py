"""Towers of timm by their published names: pooled images and patches by three readouts; LaCLIP's tower likewise."""

import pytest
import torch
from open_clip import CustomTextCLIP
from toys.dense import dense
from toys.golden import NORMALISATIONS, assert_agrees, golden, golden_image, rule_state

from densevl.core.images import normalise
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.architectures import ImageTextPair
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.towers.timm_model import build_timm_model

READOUTS = {
    "patches_last_block": PlainReadout(),
    "patches_value_with_residual_and_mlp": MaskCLIPReadout(),
    "patches_value_only": MaskCLIPReadout(residual=False, mlp=False),
}
TOWERS = {
    "siglip": ("vit_base_patch16_siglip_224", {"timm_pool": "map", "timm_proj": "none"}, "half"),
    "eva02": ("eva02_base_patch16_clip_224", {"timm_pool": "token"}, "OpenAI"),
    "pe": ("vit_pe_core_base_patch16_224", {"timm_pool": "map"}, "half"),
}


def encoder(visual, width, norm):
    """An encoder of an image tower by rule and a text tower of no use."""
    text = {"context_length": 24, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1}
    model = ImageTextPair(visual, CustomTextCLIP(width, vision, text).text)
    return CLIPEncoder(model.eval().requires_grad_(False), mini_tokenizer(), "by rule", *NORMALISATIONS[norm])


def assert_readouts(encoder, image, outputs, prefix):
    for name, readout in READOUTS.items():
        assert_agrees(dense(encoder, image, readout).grid.flatten(2).mT, outputs[prefix + name])


@pytest.mark.parametrize("name", TOWERS)
def test_towers(name):
    outputs, (model, config, norm) = golden("timm_towers"), TOWERS[name]
    size, width, depth, heads, joint, _ = outputs["config"].tolist()
    small = {"embed_dim": width, "depth": depth, "num_heads": heads}
    config = {**config, "timm_model_name": model, "image_size": size, "timm_model_kwargs": small}
    visual = build_timm_model(config, joint, {}, False)
    state = rule_state(outputs[f"{name}_names"])
    visual.load_state_dict({key.removeprefix("visual."): value for key, value in state.items()})
    built, image = encoder(visual, joint, norm), golden_image(f"open-{name}", size)
    assert_agrees(built.image.embed(normalise(image, built.mean, built.std)), outputs[f"{name}_pooled"])
    assert_agrees(built.forward_images(image)[1], outputs[f"{name}_pooled"])
    assert_readouts(built, image, outputs, f"{name}_")


def test_laclip():
    """Queries and keys normalised head by head, and a projection without bias behind the class token."""
    outputs = golden("laclip_model")
    joint, width, depth, heads = outputs["config"].tolist()[:4]
    settings = {"embed_dim": width, "depth": depth, "num_heads": heads, "patch_size": 8, "qk_norm": True}
    config = {"timm_model_name": "vit_base_patch16_224", "timm_pool": "token", "timm_proj": "linear", "image_size": 32}
    visual = build_timm_model({**config, "timm_model_kwargs": settings}, joint, {}, False)
    state = rule_state(outputs["names"])
    trunk = {f"trunk.{key[7:]}": value for key, value in state.items() if key.startswith("visual.")}
    visual.load_state_dict(trunk | {"head.proj.weight": state["image_projection"].mT})
    built, image = encoder(visual, joint, "ImageNet"), golden_image("open-laclip", 32)
    assert_agrees(built.image.embed(normalise(image, built.mean, built.std)), outputs["image_embedding"])
    assert_readouts(built, image, outputs, "")
    norm, projection = built.image.head()
    tokens = torch.randn(1, 5, width)
    assert_agrees(norm(tokens) @ projection, built.to_joint(tokens).numpy())
