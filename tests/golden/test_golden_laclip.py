"""LaCLIP from a file of its layout: images, texts and patches against its own code."""

import torch
from safetensors.torch import save_file
from toys.dense import dense
from toys.golden import assert_agrees, golden, golden_image, rule_state

from densevl.core.images import normalise
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.loading import build_clip


def test_images_texts_and_patches(tmp_path):
    outputs = golden("laclip_model")
    joint, dim, depth, heads, width, text_heads, layers, vocabulary = outputs["config"].tolist()
    tower = {"embed_dim": dim, "depth": depth, "num_heads": heads, "patch_size": 8, "qk_norm": True}
    arch = {
        "embed_dim": joint,
        "quick_gelu": True,
        "vision_cfg": {
            "tower": "timm",
            "image_size": 32,
            "timm_model_name": "vit_base_patch16_224",
            "timm_model_kwargs": tower,
            "timm_pool": "token",
            "timm_proj": "linear",
        },
        "text_cfg": {
            "context_length": 20,
            "vocab_size": vocabulary,
            "width": width,
            "heads": text_heads,
            "layers": layers,
        },
    }
    save_file(rule_state(outputs["names"]), tmp_path / "cc12m_laclip.safetensors")
    encoder = build_clip(tmp_path / "cc12m_laclip.safetensors", arch, text_cache=False)
    image = golden_image("open-laclip", 32)
    assert_agrees(encoder.image.embed(normalise(image, encoder.mean, encoder.std)), outputs["image_embedding"])
    assert_agrees(encoder.text.encode(torch.from_numpy(outputs["tokens"])), outputs["text_embedding"])
    for readout, name in (
        (PlainReadout(), "patches_last_block"),
        (MaskCLIPReadout(), "patches_value_with_residual_and_mlp"),
        (MaskCLIPReadout(residual=False, mlp=False), "patches_value_only"),
    ):
        found = dense(encoder, image, readout).grid.flatten(2).mT
        assert_agrees(found, outputs[name])
