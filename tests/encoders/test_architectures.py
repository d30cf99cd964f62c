"""Models of open_clip's own architectures around towers of timm, on the meta device, and filled from tensors."""

import open_clip
import pytest
import torch
from toys.tokenizers import unigram

from densevl.encoders.architectures import architecture, build_model, filled
from densevl.encoders.towers import image_tower
from densevl.encoders.towers.eva import EvaTower
from densevl.encoders.towers.fastvit import FastViTTower
from densevl.encoders.towers.open_clip import OpenClipTower
from densevl.encoders.towers.timm import TimmTower

FAMILIES = {
    "ViT-B-16-SigLIP": (TimmTower, 16, 0, 768),
    "ViT-B-16-SigLIP2": (TimmTower, 16, 0, 768),
    "ViT-SO400M-14-SigLIP": (TimmTower, 14, 0, 1152),
    "ViT-SO400M-16-SigLIP2-512": (TimmTower, 16, 0, 1152),
    "EVA01-g-14": (EvaTower, 14, 1, 1024),
    "EVA02-B-16": (EvaTower, 16, 1, 512),
    "EVA02-L-14": (EvaTower, 14, 1, 768),
    "EVA02-E-14": (EvaTower, 14, 1, 1024),
    "PE-Core-T-16-384": (EvaTower, 16, 1, 512),
    "PE-Core-S-16-384": (EvaTower, 16, 1, 512),
    "PE-Core-B-16": (EvaTower, 16, 1, 1024),
    "PE-Core-L-14-336": (EvaTower, 14, 1, 1024),
    "PE-Core-bigG-14-448": (EvaTower, 14, 0, 1280),
    "MobileCLIP-S1": (FastViTTower, 32, 0, 512),
    "MobileCLIP-S2": (FastViTTower, 32, 0, 512),
    "MobileCLIP-B": (TimmTower, 16, 1, 512),
    "MobileCLIP2-S0": (FastViTTower, 32, 0, 512),
    "MobileCLIP2-S2": (FastViTTower, 32, 0, 512),
    "MobileCLIP2-S3": (FastViTTower, 64, 0, 768),
    "MobileCLIP2-S4": (FastViTTower, 64, 0, 768),
    "MobileCLIP2-B": (TimmTower, 16, 1, 512),
    "MobileCLIP2-L-14": (TimmTower, 14, 1, 768),
    "ViTamin-S": (TimmTower, 16, 0, 384),
    "ViT-H-14-worldwide": (OpenClipTower, 14, 1, 1024),
}
"""Adapter, side of a patch, tokens before the patches, width of the joint space."""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A small file in the place of the published ones, which the architecture below is told of."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokens = unigram("<s>", "<pad>", "</s>", "<unk>", size=120)
    tokens.save(str(path))
    return path, tokens.get_vocab_size()


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_open_clip(name, tokenizer):
    config, file = architecture(name), None
    if "hf_tokenizer_name" in config["text_cfg"]:
        file, size = tokenizer
        config["text_cfg"] = {**config["text_cfg"], "vocab_size": size}
    with torch.device("meta"):
        model, reader = build_model(config, tokenizer=file)
    assert isinstance(model, open_clip.CustomTextCLIP | open_clip.CLIP)
    assert reader is not None
    tower = image_tower(model.visual)
    assert (type(tower), tower.patch_size, tower.prefix, tower.dim) == FAMILIES[name]
    side = model.visual.image_size
    assert tower.size == (tuple(side) if isinstance(side, tuple) else (side, side))


@pytest.mark.parametrize("name", ["eva02_base_patch16_clip_224", "eva_giant_patch14_224"])
def test_buffers_that_files_do_not_hold_are_computed_and_the_model_is_built_once(name):
    text = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
    small = {"embed_dim": 32, "depth": 2, "num_heads": 4}
    vision = {"tower": "timm", "timm_model_name": name, "timm_pool": "token", "timm_model_kwargs": small}
    arch = {"embed_dim": 16, "vision_cfg": {**vision, "image_size": 56 if "14" in name else 48}, "text_cfg": text}
    model, _ = build_model(arch)
    with torch.device("meta"):
        empty, _ = build_model(arch)

    def again():
        raise AssertionError("built anew")

    made = filled(empty, again, model.state_dict()).eval()
    side = made.visual.image_size[0]
    images = torch.randn(1, 3, side, side)
    assert torch.equal(made.visual(images), model.eval().visual(images))
    tokens = torch.tensor([[1, 2, 49, 0, 0, 0, 0, 0]])
    assert torch.equal(made.encode_text(tokens), model.encode_text(tokens))
