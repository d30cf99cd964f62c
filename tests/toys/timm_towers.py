"""Small CLIPs around image towers of timm, of every kind that image-text models have."""

from typing import Any

import timm
import torch
from open_clip import CustomTextCLIP
from torch import nn

from densevl.encoders.architectures import ImageTextPair
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.towers.timm_model import TimmModel

DIM = 24
SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 4}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "siglip": ("vit_base_patch16_siglip_224", {**SMALL, "img_size": 48, "num_classes": 0}),
    "laclip": ("vit_base_patch16_224", {**SMALL, "img_size": 48, "num_classes": 0, "qk_norm": True}),
    "mean": ("vit_base_patch16_224", {**SMALL, "img_size": 48, "global_pool": "avg", "class_token": False}),
    "registers": ("vit_base_patch16_224", {**SMALL, "img_size": 48, "reg_tokens": 1, "init_values": 0.1}),
    "mobileclip-b": ("vit_base_mci_224", {"depth": 2, "num_heads": 12, "img_size": 48, "global_pool": "token"}),
    "eva01": ("eva_giant_patch14_224", {**SMALL, "img_size": 42, "mlp_ratio": 2}),
    "eva02": ("eva02_base_patch16_clip_224", {**SMALL, "img_size": 48}),
    "eva02-e": ("eva02_enormous_patch14_clip_224", {**SMALL, "img_size": 42, "mlp_ratio": 2}),
    "pe": ("vit_pe_core_base_patch16_224", {**SMALL, "img_size": 48, "attn_pool_num_heads": 8}),
    "pe-g": ("vit_pe_core_gigantic_patch14_448", {**SMALL, "img_size": 42, "attn_pool_num_heads": 8}),
    "learned-rope": ("vit_small_patch16_rope_mixed_224", {**SMALL, "img_size": 48}),
    "mobileclip-s": ("fastvit_mci0", {"layers": (1, 1, 1, 2), "embed_dims": (8, 16, 32, 32)}),
    "mobileclip2-s3": ("fastvit_mci3", {"layers": (1, 1, 1, 1, 1), "embed_dims": (8, 16, 32, 32, 32)}),
}
"""Names of timm and what makes them small."""

OF_CONVOLUTIONS = ("mobileclip-s", "mobileclip2-s3")
OF_VITS = tuple(kind for kind in KINDS if kind not in OF_CONVOLUTIONS)


def timm_trunk(kind: str) -> nn.Module:
    """The same model each time, every parameter and running statistic away from its neutral value."""
    name, settings = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        trunk = timm.create_model(name, **{"num_classes": DIM, **settings})
        for value in trunk.parameters():
            value.data.add_(0.1 * torch.randn(value.shape))
        for module in trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
    return trunk.eval().requires_grad_(False)


def timm_visual(kind: str) -> TimmModel:
    """The trunk with a projection behind it where it has no head."""
    trunk: Any = timm_trunk(kind)
    head = nn.Sequential()
    if trunk.num_classes == 0:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            head.add_module("proj", nn.Linear(trunk.num_features, DIM, bias=False))
    side = 64 if kind in OF_CONVOLUTIONS else KINDS[kind][1]["img_size"]
    return TimmModel(trunk, head, (side, side)).eval().requires_grad_(False)


def timm_clip(kind: str) -> CLIPEncoder:
    """An encoder of such an image tower and a small text tower."""
    tokenizer = mini_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        text = {"context_length": 24, "vocab_size": tokenizer.vocab_size, "width": 16, "heads": 2, "layers": 1}
        vision = {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1}
        words = CustomTextCLIP(DIM, vision, text).text
    return CLIPEncoder(ImageTextPair(timm_visual(kind), words).eval().requires_grad_(False), tokenizer, f"{kind}@1")
