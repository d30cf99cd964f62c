"""Files of region models as their authors publish them; see :mod:`toys.published`."""

from collections.abc import Callable, Iterable
from typing import Any

import open_clip
import timm
import torch
from toys.published import Published, clip_shapes, shapes, small_clip

from densevl.encoders.architectures import architecture


def alpha_arch(small: bool) -> Any:
    """The architecture of an Alpha-CLIP; the small one is that of the reference outputs."""
    if not small:
        return "alpha-clip-b16"
    vision = {"tower": "alpha-clip", "image_size": 32, "patch_size": 8, "head_width": 64}
    return small_clip(embed_dim=32, quick_gelu=True, vision_cfg=vision)


def _alpha_clip(small: bool) -> Published:
    """The image tower alone: OpenAI's names, with a linear map for queries, keys and values."""
    config = small_clip(embed_dim=32, quick_gelu=True, vision_cfg={"patch_size": 8, "head_width": 64})
    whole = clip_shapes(config if small else open_clip.get_model_config("ViT-B-16"))
    found = {
        name.removeprefix("visual.").replace(".in_proj_", ".in_proj."): shape
        for name, shape in whole.items()
        if name.startswith("visual.")
    }
    width, _, patch, _ = found["conv1.weight"]
    return Published(alpha_arch(small), found | {"conv1_alpha.weight": (width, 1, patch, patch)}, base=whole)


def small_transformers_clip(**text: Any) -> Any:
    """A small CLIP of transformers with QuickGELU, as FG-CLIP is built on it, and its architecture."""
    from transformers import CLIPConfig

    tower = {"num_hidden_layers": 2, "hidden_act": "quick_gelu"}
    words = {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 2, "eos_token_id": 49407} | text
    pixels = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "image_size": 64, "patch_size": 16}
    return CLIPConfig(text_config=tower | words, vision_config=tower | pixels, projection_dim=24)


def fg_clip_arch(small: bool, places: int = 77) -> Any:
    """The architecture of an FG-CLIP."""
    if not small:
        return "ViT-B-16-quickgelu" if places == 77 else "LongCLIP-ViT-B-16"
    return small_clip(quick_gelu=True, vision_cfg={"image_size": 64}, text_cfg={"context_length": places})


def _fg_clip(small: bool, places: int = 77) -> Published:
    """transformers' names and what FG-CLIP has beside them."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
    config = small_transformers_clip() if small else CLIPConfig(text_config=tower, vision_config={"patch_size": 16})
    with torch.device("meta"):
        found = shapes(CLIPModel(config))
    width, joint = config.text_config.hidden_size, config.projection_dim
    table = "text_model.embeddings.position_embedding"
    more = {f"{table}_res.weight": (248, width), f"{table}_ori.weight": (248, width)}
    more |= {"text_filip_projection.weight": (joint, width)}
    scales: dict[str, tuple[int, ...]] = {"logit_scale_finegraind": (), "logit_scale_hardneg": ()}
    short = (*more, *scales)
    long = ("text_projection.weight", f"{table}.weight", *scales)
    return Published(fg_clip_arch(small, places), found | more | scales, short if places == 77 else long)


def fg_clip_2_arch(small: bool, places: int = 64) -> Any:
    """The architecture of an FG-CLIP 2 with CLIP's tokenizer, since its own is a file."""
    config = architecture("FG-CLIP-2-B-16" if places == 64 else "FG-CLIP-2-B-16-long")
    text = {key: value for key, value in config["text_cfg"].items() if "tokenizer" not in key}
    if not small:
        return config | {"text_cfg": text}
    text |= {"width": 48, "heads": 3, "layers": 2, "vocab_size": 49408}
    vision = config["vision_cfg"] | {"image_size": 64, "width": 48, "heads": 3, "layers": 2}
    return config | {"embed_dim": 48, "text_cfg": text, "vision_cfg": vision}


def transformers_siglip_2(small: bool, places: int = 64) -> Any:
    """The configuration of the SigLIP 2 of transformers that FG-CLIP 2 is built on."""
    from transformers import Siglip2Config

    arch = fg_clip_2_arch(small)
    width, depth, heads = (arch["vision_cfg"][key] for key in ("width", "layers", "heads"))
    tower = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": depth}
    tower |= {"num_attention_heads": heads}
    text = tower | {"vocab_size": arch["text_cfg"]["vocab_size"], "max_position_embeddings": places}
    vision = tower | {"num_patches": 16 if small else 256, "patch_size": 16}
    return Siglip2Config(text_config=text | {"projection_size": width}, vision_config=vision)


def _fg_clip_2(small: bool, texts: str = "box") -> Published:
    """transformers' names of SigLIP 2, and what FG-CLIP 2 has beside them."""
    from transformers import Siglip2Model

    with torch.device("meta"):
        found = shapes(Siglip2Model(transformers_siglip_2(small)))
    dense = {f"dense_feature_{name}": found[f"vision_model.{name}"] for name in _heads(found)}
    width = found["text_model.head.bias"][0]
    heads = {f"{kind}text_head.{name}": shape for kind in ("long", "box") for name, shape in _linear(width).items()}
    table = "text_model.embeddings.position_embedding"
    tables = {f"{table}_{name}.weight": (196, width) for name in ("res", "ori")}
    left = {
        "box": (*_named("longtext_head", heads), *_named("text_model.head", found), *tables),
        "short": (*heads, *tables),
        "long": (*_named("boxtext_head", heads), *_named("text_model.head", found), f"{table}.weight"),
    }[texts]
    arch = fg_clip_2_arch(small, 196 if texts == "long" else 64)
    return Published(arch, found | dense | heads | tables, ("dense_feature_head.probe", *left))


def _heads(found: dict[str, tuple[int, ...]]) -> list[str]:
    return [name.removeprefix("vision_model.") for name in found if name.startswith("vision_model.head.")]


def _linear(width: int) -> dict[str, tuple[int, ...]]:
    return {"weight": (width, width), "bias": (width,)}


def _named(start: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{start}.")]


def grain_arch(small: bool) -> Any:
    """The architecture of a GRAIN."""
    if not small:
        return "GRAIN-ViT-B-16"
    vit = {"timm_model_name": "vit_tiny_patch16_224", "timm_model_kwargs": GRAIN_VIT, "image_size": 32}
    vision = {"tower": "grain", **vit, "width": 32, "layers": 2, "heads": 4, "inner": 64, "queries": 6}
    return small_clip(quick_gelu=True) | {"vision_cfg": vision}


GRAIN_VIT = {"embed_dim": 48, "depth": 2, "num_heads": 3, "qk_norm": True}


def _grain(small: bool) -> Published:
    """A checkpoint of its training, the CLIP's names behind `backbone.`, as ``train.py`` and ``tfm.py`` have them."""
    arch = architecture(grain_arch(small))
    vision, joint = arch["vision_cfg"], arch["embed_dim"]
    width, inner, tokens = vision["width"], vision["inner"], 48 if small else 768
    text = clip_shapes(small_clip() if small else open_clip.get_model_config("ViT-B-16"))
    size = {"img_size": 32} if small else {}
    with torch.device("meta"):
        vit = timm.create_model(vision["timm_model_name"], num_classes=0, **size, **vision["timm_model_kwargs"])
    found = {f"backbone.visual.{name}": shape for name, shape in shapes(vit).items()}
    found |= {f"backbone.{name}": shape for name, shape in text.items() if not name.startswith("visual.")}
    for i in range(vision["layers"]):
        layer = f"transformer.decoder.layers.{i}"
        for attention in ("self_attn", "multihead_attn"):
            found |= {f"{layer}.{attention}.in_proj_weight": (3 * width, width)}
            found |= {f"{layer}.{attention}.in_proj_bias": (3 * width,)}
            found |= {f"{layer}.{attention}.out_proj.{name}": shape for name, shape in _linear(width).items()}
        found |= {f"{layer}.linear1.weight": (inner, width), f"{layer}.linear1.bias": (inner,)}
        found |= {f"{layer}.linear2.weight": (width, inner), f"{layer}.linear2.bias": (width,)}
        found |= {f"{layer}.norm{n}.{name}": (width,) for n in (1, 2, 3) for name in ("weight", "bias")}
    norms = ("transformer.pre_norm", "transformer.decoder.norm")
    found |= {f"{norm}.{name}": (width,) for norm in norms for name in ("weight", "bias")}
    for i, out in enumerate((width, width, 4)):
        found |= {f"bbox_embed.layers.{i}.weight": (out, width), f"bbox_embed.layers.{i}.bias": (out,)}
    found |= {"proj.weight": (width, tokens), "query_embed.weight": (6, width)}
    found |= {"obj_proj": (width, joint), "img_proj": (width, joint)}
    left = {"class_embed.weight": (22048, width), "class_embed.bias": (22048,), "pos_embed": (1, 513, width)}
    left |= {"temporal_embed": (1, 4, width), "backbone.image_projection": (tokens, joint)}
    return Published(grain_arch(small), found | left, tuple(left))


REGION_MODELS: dict[str, Callable[[bool], Published]] = {
    "alpha-clip": _alpha_clip,
    "fg-clip": _fg_clip,
    "fg-clip-2": _fg_clip_2,
    "fg-clip-2-long": lambda small: _fg_clip_2(small, "long"),
    "fg-clip-2-short": lambda small: _fg_clip_2(small, "short"),
    "fg-clip-long": lambda small: _fg_clip(small, 248),
    "grain": _grain,
}
"""Makers by the name of the layout, as in :data:`toys.published.PUBLISHED`."""
