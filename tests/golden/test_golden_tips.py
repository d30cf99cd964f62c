"""TIPSv2 against transformers: golden outputs of a file of its names, and files that it writes itself."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from toys.dense import dense
from toys.golden import assert_agrees, golden, golden_image, rule_state
from transformers import Tipsv2Config, Tipsv2Model

from densevl.core.images import normalise
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.loading import build_clip
from densevl.weights.layouts import find_layout

WIDTH, LAYERS, HEADS, WORDS, CONTEXT, SIZE = 64, 2, 4, 400, 16, 56


def arch(**vision):
    """TIPSv2, made small."""
    return {
        "embed_dim": WIDTH,
        "vision_cfg": {
            "tower": "timm",
            "timm_model_name": "vit_base_patch14_reg1_tipsv2",
            "timm_pool": "token",
            "timm_proj": "none",
            "image_size": SIZE,
            "timm_model_kwargs": {"embed_dim": WIDTH, "depth": LAYERS, "num_heads": HEADS},
        }
        | vision,
        "text_cfg": {
            "tower": "tips",
            "vocab_size": WORDS,
            "heads": HEADS,
            "layers": LAYERS,
            "hidden": 2 * WIDTH,
            "context_length": CONTEXT,
        },
    }


@pytest.fixture(scope="module")
def reference():
    return golden("tipsv2")


@pytest.fixture(scope="module")
def encoder(reference, tmp_path_factory):
    assert reference["config"].tolist() == [WIDTH, LAYERS, HEADS, 0, WORDS]
    rows = [str(row) for row in reference["names"]]  # of the first block alone
    again = [row.replace(".layers.0.", ".layers.1.").replace(".layer.0.", ".layer.1.") for row in rows]
    path = tmp_path_factory.mktemp("tips") / "tipsv2.safetensors"
    save_file(rule_state(list(dict.fromkeys([*rows, *again]))) | {"temperature": torch.tensor(0.01)}, path)
    return build_clip(path, arch(), text_cache=False)


def test_images(encoder, reference):
    image = golden_image("open-tips", SIZE)
    assert_agrees(encoder.embed_images(image), reference["image_embedding"])
    assert_agrees(encoder.image.embed(normalise(image, encoder.mean, encoder.std)), reference["cls_1"])
    assert encoder.temperature == pytest.approx(100)


def test_patches(encoder, reference):
    found = dense(encoder, golden_image("open-tips", SIZE), PlainReadout()).grid
    assert_agrees(found.flatten(2).mT, reference["patches_last_block"])


def test_the_second_class_token(encoder, reference):
    tower, image = encoder.image, golden_image("open-tips", SIZE)
    tokens = encoder.model.visual.trunk.forward_features(image)
    assert_agrees(tokens[:, 0], reference["cls_1"])
    assert_agrees(tokens[:, 1], reference["cls_2"])
    assert tower.prefix == 2


def test_texts(encoder, reference):
    found = encoder.text.encode(torch.from_numpy(reference["tokens"]))
    assert_agrees(found, reference["text_embedding"])
    assert_agrees(F.normalize(found, dim=1), reference["text_embedding_model"])


def values_trick(model, image):
    """Patches as the authors' notebook reads them, of the modules of transformers: the last attention is its values."""
    vision = model.vision_model
    x = vision.embeddings(image)
    for layer in vision.encoder.layer[:-1]:
        x = layer(x)
    last = vision.encoder.layer[-1]
    x = x + last.layer_scale1(last.attention.o_proj(last.attention.v_proj(last.norm1(x))))
    x = x + last.layer_scale2(last.mlp(last.norm2(x)))
    return vision.layernorm(x)[:, 2:]


@pytest.mark.parametrize("swiglu", [False, True], ids=["gelu", "swiglu"])
@torch.no_grad()
def test_files_as_transformers_publishes_them(tmp_path, swiglu):
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    torch.manual_seed(0)
    model = Tipsv2Model(
        Tipsv2Config(
            text_config=sizes
            | {"intermediate_size": 2 * WIDTH, "vocab_size": WORDS, "max_position_embeddings": CONTEXT},
            vision_config=sizes | {"image_size": SIZE, "use_swiglu_ffn": swiglu},
        )
    ).eval()
    for weight in model.parameters():  # what starts as zeros or ones would hide a wrong place
        weight.add_(0.05 * torch.randn_like(weight))
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    assert find_layout(load_file(file)).name == ("tips-giant" if swiglu else "tips")
    kwargs = {"embed_dim": WIDTH, "depth": LAYERS, "num_heads": HEADS, "mlp_ratio": 5.5}
    giant = {"timm_model_name": "vit_giant_patch14_reg1_tipsv2", "timm_model_kwargs": kwargs}
    found = build_clip(file, arch(**giant) if swiglu else arch(), text_cache=False)
    image = golden_image("open-tips", SIZE)
    expected = model.get_image_features(image).last_hidden_state
    torch.testing.assert_close(found.model.visual.trunk.forward_features(image), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        dense(found, image, MaskCLIPReadout()).grid.flatten(2).mT, values_trick(model, image), rtol=1e-4, atol=1e-5
    )
    ids = torch.tensor([[5, 9, 0, 0], [7, 8, 9, 3]])
    expected = model.get_text_features(ids, attention_mask=(ids != 0).long()).pooler_output
    torch.testing.assert_close(found.text.encode(ids), expected, rtol=1e-4, atol=1e-5)
