"""CLIP-MoE: images, texts of up to 248 tokens, and what the routers say of each token."""

import ast

import pytest
import torch
from safetensors.torch import save_file
from toys.golden import assert_agrees, golden, golden_image, rule_state

from densevl.core.attention import run_block
from densevl.core.images import normalise
from densevl.encoders.loading import build_clip


def published_shapes():
    """Shapes by the names of a file: the golden file lists those of the last block of the image tower."""
    joint, width, layers, _, _, mixtures, vocabulary = golden("clipmoe_model")["config"].tolist()
    rows = dict(row.split(" ", 1) for row in golden("clipmoe_model")["names"].tolist())
    prefix = f"visual.transformer.resblocks.{layers - 1}."
    mixture = {name.removeprefix(prefix): ast.literal_eval(shape) for name, shape in rows.items()}
    plain = {name.replace("experts.0", "mlp"): shape for name, shape in mixture.items() if "gate" not in name}
    plain = {name: shape for name, shape in plain.items() if "experts" not in name}
    shapes = {
        f"{tower}transformer.resblocks.{index}.{name}": shape
        for tower in ("visual.", "")
        for index in range(layers)
        for name, shape in (mixture if index >= layers - mixtures else plain).items()
    }
    norms = ("visual.ln_pre", "visual.ln_post", "ln_final")
    return shapes | {
        **{f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")},
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (5, width),
        "visual.proj": (width, joint),
        "visual.conv1.weight": (width, 3, 16, 16),
        "token_embedding.weight": (vocabulary, width),
        "positional_embedding": (248, width),
        "positional_embedding_res": (248, width),
        "text_projection": (width, joint),
        "logit_scale": (),
    }


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    joint, _, _, _, top_k, _, _ = golden("clipmoe_model")["config"].tolist()
    file = tmp_path_factory.mktemp("moe") / "clip-moe.safetensors"
    save_file(rule_state(published_shapes()), file)
    arch = {
        "embed_dim": joint,
        "quick_gelu": True,
        "vision_cfg": {"tower": "moe", "top_k": top_k, "image_size": 32, "patch_size": 16},
        "text_cfg": {"tower": "moe", "top_k": top_k},
    }
    return build_clip(file, arch, text_cache=False)


@pytest.fixture(scope="module")
def image(encoder):
    return normalise(golden_image("open-moe", 32), encoder.mean, encoder.std)


def test_images(encoder, image):
    assert_agrees(encoder.image.embed(image), golden("clipmoe_model")["image_embedding"])
    with torch.no_grad():
        assert_agrees(encoder.model.visual(image), golden("clipmoe_model")["image_embedding"])


def test_texts(encoder):
    tokens = torch.from_numpy(golden("clipmoe_model")["tokens"])
    assert encoder.text.context == 248
    assert_agrees(encoder.text.encode(tokens), golden("clipmoe_model")["text_embedding"])
    with torch.no_grad():
        assert_agrees(encoder.model.encode_text(tokens), golden("clipmoe_model")["text_embedding"])


def test_routers(encoder, image):
    x, _ = encoder.image.tokens(image)
    found = []
    for block, module in zip(encoder.image.blocks_on((2, 2)), encoder.model.visual.transformer.resblocks, strict=True):
        pieces = run_block(block, x)
        if hasattr(module, "gate"):
            found.append(module.gate(pieces["ln_2"])[0])
        x = pieces["out"]
    assert_agrees(torch.stack(found), golden("clipmoe_model")["router_logits_image"])
