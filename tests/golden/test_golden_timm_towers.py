"""SigLIP's image tower against timm: pooled images and patches by three readouts."""

import ast

import numpy as np
import pytest
import timm
import torch
from open_clip import CustomTextCLIP
from open_clip.timm_model import TimmModel
from open_clip.transformer import TextTransformer
from toys.dense import dense

from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.clip import CLIPEncoder

READOUTS = {
    "patches_last_block": PlainReadout(),
    "patches_value_with_residual_and_mlp": MaskCLIPReadout(),
    "patches_value_only": MaskCLIPReadout(residual=False, mlp=False),
}


class TwoTowers(CustomTextCLIP):
    """open_clip's own model, of two towers that are built already."""

    def __init__(self, visual, text):
        torch.nn.Module.__init__(self)
        self.visual, self.text = visual, text
        self.logit_scale = torch.nn.Parameter(torch.tensor(4.6))
        self.context_length = text.context_length


@pytest.fixture(scope="module")
def outputs(golden):
    return np.load(golden / "encoders" / "timm_towers.npz")


def filled(module, names, prefix, rule):
    """The module with weights by rule under the names of the published layout."""
    shapes = {row.partition(" ")[0]: ast.literal_eval(row.partition(" ")[2]) for row in names}
    state = {
        name.removeprefix(prefix): torch.from_numpy(np.asarray(rule(name, shape))) for name, shape in shapes.items()
    }
    module.load_state_dict(state)
    return module.eval()


@pytest.fixture(scope="module")
def rule(rules):
    """The rule of weights, with what it adds for these layouts."""

    def weight(name, shape):
        x, last = rules._normal(name, shape), name.removesuffix(".weight").rpartition(".")[2]
        if name.endswith(".weight") and ("norm" in last or last.startswith("ln")):
            return 1 + 0.1 * x
        small = ("pos_embed", "cls_token", "latent", "probe", "position_embedding", "positional_embedding")
        if any(word in name for word in (*small, "class_embedding", "token_embedding")):
            return 0.2 * x
        if name.endswith((".gamma", "lambda1")):
            return 0.3 + 0.1 * x
        return rules.rule_weight(name, shape)

    return weight


@pytest.fixture(scope="module")
def encoder(outputs, rule):
    size, width, depth, heads, _, vocabulary = outputs["config"].tolist()
    trunk = timm.create_model(
        "vit_base_patch16_siglip_224", img_size=size, embed_dim=width, depth=depth, num_heads=heads, num_classes=0
    )
    with torch.device("meta"):
        visual = TimmModel("vit_base_patch16_siglip_224", embed_dim=width, image_size=size, pool="map", proj="none")
    visual.trunk = trunk
    visual = filled(visual, outputs["siglip_names"], "visual.", rule)
    context, text_width = (int(n) for n in str(outputs["siglip_text_names"][0]).partition("(")[2][:-1].split(","))
    layers = {row.split(".")[3] for row in outputs["siglip_text_names"].tolist() if ".resblocks." in row}
    text = TextTransformer(
        context_length=context,
        vocab_size=vocabulary,
        width=text_width,
        heads=heads,
        layers=len(layers),
        output_dim=text_width,
        no_causal_mask=True,
        pad_id=1,
        pool_type="last",
        proj_type="linear",
        proj_bias=True,
    )
    text = filled(text, outputs["siglip_text_names"], "text.", rule)
    model = TwoTowers(visual, text)
    return CLIPEncoder(model.requires_grad_(False), lambda texts: None, "siglip by rule", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def image(rules, outputs):
    size = int(outputs["config"][0])
    return torch.from_numpy(rules.rule_image("open-siglip", size, size)).permute(2, 0, 1)[None] / 255


def assert_close(found, expected):
    expected = torch.from_numpy(expected)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", READOUTS)
def test_patches(encoder, image, outputs, name):
    found = dense(encoder, image, READOUTS[name]).grid
    assert_close(found.flatten(2).mT, outputs[f"siglip_{name}"])


def test_whole_images(encoder, image, outputs):
    expected = torch.nn.functional.normalize(torch.from_numpy(outputs["siglip_pooled"]), dim=1)
    torch.testing.assert_close(encoder.embed_images(image), expected, rtol=0, atol=1e-5)
