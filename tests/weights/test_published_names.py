"""Files of the layouts of TinyCLIP, CLIP-MoE, CLOOB and ProtoCLIP: names at full size, tensors of small models."""

import open_clip
import pytest
import torch
from open_clip import CLIP
from safetensors.torch import save_file
from toys.dense import dense
from toys.free import FREE, free_state
from toys.resnet import RESNET, resnet_clip

from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip
from densevl.weights.layouts import find_layout, layout

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "patch_size": 8, "width": 24, "head_width": 8, "layers": 2}
FREE_ARCH = {
    "embed_dim": 16,
    "vision_cfg": {"tower": "free", **FREE["vision"]},
    "text_cfg": {"tower": "free", "head_width": 8},
}
MOE_ARCH = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"tower": "moe", "top_k": 2, **FREE["vision"]},
    "text_cfg": {"tower": "moe", "top_k": 2, "head_width": 8},
}


def plain(vision, **more):
    return {"embed_dim": 32, "vision_cfg": vision, "text_cfg": TEXT, **more}


def new_state(vision):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CLIP(32, vision, TEXT).state_dict()


def full_size(name):
    with torch.device("meta"):
        return open_clip.CLIP(**open_clip.get_model_config(name)).state_dict()


def moe_state():
    state = free_state([(2, 40), (3, 16)], 2)
    return state | {"text.positional_embedding": torch.randn(30, FREE["width"])}


HEADS = {f"{kind}_projection_head.{i}.weight": torch.ones(2) for kind in ("image", "text") for i in (0, 1)}
COPIES = {"image_encoder_without_ddp.visual.proj": torch.ones(2), "text_encoder_without_ddp.x": torch.ones(2)}

SYSTEMS = {
    "tinyclip ViT": ("tinyclip", plain(VIT), lambda: new_state(VIT), {}),
    "tinyclip ResNet": ("tinyclip", plain(RESNET), lambda: resnet_clip().state_dict(), {}),
    "tinyclip auto": ("tinyclip-auto", FREE_ARCH, free_state, COPIES),
    "clip-moe": ("clip-moe", MOE_ARCH, moe_state, {"mask1": torch.ones(1), "context_length": torch.tensor(248)}),
    "cloob ResNet": (
        "cloob",
        plain(RESNET, quick_gelu=True),
        lambda: resnet_clip().state_dict(),
        {"logit_scale_hopfield": torch.tensor(2.0)},
    ),
    "cloob ViT": ("cloob", plain(VIT, quick_gelu=True), lambda: new_state(VIT), {}),
    "protoclip": (
        "protoclip",
        plain(RESNET),
        lambda: resnet_clip().state_dict(),
        {"logit_scale_proto": torch.tensor(1.0), **HEADS},
    ),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_file_gives_images_patches_and_texts(system, tmp_path):
    name, arch, state_of, others = SYSTEMS[system]
    state = {key: one.contiguous() for key, one in state_of().items() if not key.endswith("attn_mask")}
    published = {key: one.clone() for key, one in (layout(name).write(state) | others).items()}
    assert set(published) != set(state) or name == "protoclip"
    assert find_layout(published).name == name
    save_file(published, tmp_path / "file.safetensors")
    encoder = build_clip(tmp_path / "file.safetensors", arch, text_cache=False)
    found = encoder.model.state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[key], one) for key, one in state.items())
    images = torch.rand(1, 3, 70, 40)
    grid = dense(encoder, images, MaskCLIPReadout()).grid
    patch = encoder.patch_size
    assert grid.shape == (1, encoder.dim, -(-70 // patch), -(-40 // patch))
    assert grid.isfinite().all()
    assert encoder.embed_images(images).shape == encoder.embed_texts(["dog"]).shape == (1, encoder.dim)
    assert isinstance(encoder, CLIPEncoder)


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("tinyclip", "ViT-B-16"),
        ("tinyclip", "RN50"),
        ("cloob", "RN50-quickgelu"),
        ("cloob", "ViT-B-16-quickgelu"),
        ("protoclip", "RN50"),
    ],
)
def test_names_at_full_size_there_and_back(name, arch):
    state = full_size(arch)
    written = layout(name).write(state)
    back = layout(name).read(written)
    assert {key: one.shape for key, one in back.items()} == {key: one.shape for key, one in state.items()}


def test_the_text_tower_of_clip_general_is_called_transformer():
    state = new_state(VIT)
    kept = {"visual", "logit_scale"}
    general = {key if key.split(".")[0] in kept else f"transformer.{key}": one for key, one in state.items()}
    general["logit_inv_tau"] = general.pop("logit_scale")
    assert "transformer.transformer.resblocks.0.ln_1.weight" in general
    assert set(layout("cloob").read(general)) == set(state)


def test_the_logarithm_of_cloob_is_that_of_clip():
    assert layout("cloob").read({"logit_inv_tau": torch.tensor(30.0).log()})["logit_scale"].exp() == pytest.approx(30)
