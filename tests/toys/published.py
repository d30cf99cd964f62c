"""Files as their authors publish them: names and shapes, small and full, made without densevl's layouts.

Names come from where the authors have them: from the library whose model is saved, from the lists of the reference
outputs, or written out here as the published code has them. A row of ``data/layouts.json`` needs one of these makers.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import open_clip
import timm
import torch
from torch import Tensor, nn
from toys.resnet import RESNET

from densevl.weights.table import DATA

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Published:
    """What a file holds.

    Attributes:
        arch: architecture that it is read into, by name or as a mapping.
        shapes: of its tensors, by the published names.
        left: names of the file that are no part of the model.
        base: shapes of the whole model that it was made from, by our names, for a file of a part.
    """

    arch: Any
    shapes: Shapes
    left: tuple[str, ...] = ()
    base: Shapes = field(default_factory=dict)

    def state(self, seed: int = 0) -> dict[str, Tensor]:
        """Small numbers for all names."""
        return _numbers(self.shapes, seed)

    def base_state(self, seed: int = 1) -> dict[str, Tensor] | None:
        """Small numbers of the model that the file was made from; None where it is whole."""
        return _numbers(self.base, seed) if self.base else None

    def meta(self) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """The shapes alone, of the file and of its base."""
        both = [
            {name: torch.empty(shape, device="meta") for name, shape in one.items()} for one in (self.shapes, self.base)
        ]
        return both[0], both[1] or None


def _numbers(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.tensor(2.0).expand(shape).clone()
        if name.endswith(("logit_scale", "running_var"))
        else torch.tensor(0.01).expand(shape)
        if name.endswith("temperature")
        else torch.randn(shape, generator=random) / math.sqrt(max(1, shape[-1] if shape else 1))
        for name, shape in shapes.items()
    }


def shapes(model: nn.Module) -> Shapes:
    """Names and shapes of a module, as its file has them."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def small_clip(**changes: Any) -> dict[str, Any]:
    """A small CLIP as open_clip's JSON."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    vision = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2, "head_width": 16}
    return {
        "embed_dim": 24,
        **{key: value for key, value in changes.items() if key not in ("vision_cfg", "text_cfg")},
        "vision_cfg": vision | changes.get("vision_cfg", {}),
        "text_cfg": text | changes.get("text_cfg", {}),
    }


def small_timm(name: str = "vit_tiny_patch16_224", **kwargs: Any) -> dict[str, Any]:
    """A small CLIP with an image tower of timm."""
    vision = {
        "tower": "timm",
        "image_size": 32,
        "timm_model_name": name,
        "timm_pool": "token",
        "timm_proj": "linear",
        "timm_model_kwargs": {"embed_dim": 48, "depth": 2, "num_heads": 3, **kwargs},
    }
    return {**small_clip(quick_gelu=True), "vision_cfg": vision}


def clip_shapes(config: Mapping[str, Any]) -> Shapes:
    """Names and shapes of an open_clip model, which are those of openai/CLIP too."""
    rest = {key: value for key, value in config.items() if key != "custom_text"}
    with torch.device("meta"):
        return shapes((open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP)(**rest))


def named(arch: str, **text: Any) -> dict[str, Any]:
    """An architecture of open_clip with another text tower."""
    config = open_clip.get_model_config(arch)
    config["text_cfg"] |= text
    return config


def _long_clip(small: bool) -> Published:
    arch = small_clip(quick_gelu=True, text_cfg={"context_length": 248}) if small else "LongCLIP-ViT-B-16"
    found = clip_shapes(arch if small else named("ViT-B-16", context_length=248))
    return Published(arch, found | {"positional_embedding_res": found["positional_embedding"]})


def _openai(small: bool) -> Published:
    arch = small_clip(quick_gelu=True) if small else "ViT-L-14-quickgelu"
    numbers = ("input_resolution", "context_length", "vocab_size")
    found = clip_shapes(arch if small else open_clip.get_model_config(arch))
    return Published(arch, found | dict.fromkeys(numbers, ()), numbers)


def _transformers_clip(small: bool) -> Published:
    from transformers import CLIPConfig, CLIPModel

    arch: Any = small_clip() if small else "ViT-L-14"
    config = arch if small else open_clip.get_model_config(arch)
    towers = {}
    for name, own in (("vision", config["vision_cfg"]), ("text", config["text_cfg"])):
        width = own["width"]
        towers[name] = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": own["layers"]}
        towers[name] |= {"num_attention_heads": own.get("heads", width // own.get("head_width", 64))}
    vision, text = config["vision_cfg"], config["text_cfg"]
    towers["vision"] |= {"patch_size": vision["patch_size"], "image_size": vision["image_size"], "hidden_act": "gelu"}
    towers["text"] |= {"max_position_embeddings": 77, "vocab_size": text["vocab_size"], "hidden_act": "gelu"}
    with torch.device("meta"):
        model = CLIPModel(
            CLIPConfig(text_config=towers["text"], vision_config=towers["vision"], projection_dim=config["embed_dim"])
        )
    ids = "vision_model.embeddings.position_ids"  # a buffer that files of older versions hold
    return Published(arch, shapes(model) | {ids: (1, 5)}, (ids,))


def siglip_arch(small: bool, act: str = "tanh") -> dict[str, Any]:
    """The architecture of a SigLIP with CLIP's tokenizer, since its own is a file."""
    config = open_clip.get_model_config("ViT-B-16-SigLIP2")
    for key in ("hf_tokenizer_name", "tokenizer_kwargs"):
        del config["text_cfg"][key]
    if act == "exact":
        del config["text_cfg"]["act_kwargs"]
    if not small:
        return config
    config["text_cfg"] |= {"width": 48, "heads": 3, "layers": 2, "vocab_size": 49408}
    config["vision_cfg"] |= {"image_size": 32, "tower": "timm"}
    config["vision_cfg"]["timm_model_kwargs"] = {"embed_dim": 48, "depth": 2, "num_heads": 3}
    return config | {"embed_dim": 48}


def _transformers_siglip(small: bool) -> Published:
    from transformers import SiglipConfig, SiglipModel

    arch = siglip_arch(small)
    width, depth, heads = (48, 2, 3) if small else (768, 12, 12)
    towers = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": depth}
    towers |= {"num_attention_heads": heads}
    text = towers | {"vocab_size": arch["text_cfg"]["vocab_size"], "max_position_embeddings": 64}
    vision = towers | {"image_size": 32 if small else 224, "patch_size": 16}
    with torch.device("meta"):
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    return Published(arch, shapes(model))


def _laclip(small: bool, **kwargs: Any) -> Published:
    """The names as ``models.py`` has them: texts at the top, an image tower of timm, a projection beside it."""
    arch: Any = small_timm(**kwargs) if small else "LaCLIP-ViT-B-16" if kwargs else "SLIP-ViT-B-16"
    text = clip_shapes(small_clip() if small else open_clip.get_model_config("ViT-B-16"))
    width, joint = (48, 24) if small else (768, 512)
    tower = {"img_size": 32, "embed_dim": 48, "depth": 2, "num_heads": 3} if small else {}
    name = "vit_tiny_patch16_224" if small else "vit_base_patch16_224"
    with torch.device("meta"):
        visual = shapes(timm.create_model(name, num_classes=0, **tower, **kwargs))
    return Published(
        arch,
        {"image_projection": (width, joint)}
        | {f"visual.{name}": shape for name, shape in visual.items()}
        | {name: shape for name, shape in text.items() if not name.startswith("visual.")},
    )


def _slip(small: bool) -> Published:
    whole, width = _laclip(small), 48 if small else 768
    left = {f"image_mlp.layer1.{name}": shape for name, shape in (("weight", (64, width)), ("bias", (64,)))}
    left |= {f"image_mlp.bn1.{name}": (64,) for name in ("weight", "bias", "running_mean", "running_var")}
    left |= {"image_mlp.bn1.num_batches_tracked": ()}
    return Published(whole.arch, whole.shapes | left, tuple(left))


def _a_clip(small: bool) -> Published:
    whole = _slip(small)
    left = {name.replace("visual.", "visual_ema."): whole.shapes[name] for name in whole.shapes if "visual." in name}
    left |= {"image_projection_e": whole.shapes["image_projection"]}
    left |= {name.replace("image_mlp.", "image_mlp_e."): whole.shapes[name] for name in whole.left}
    for head in ("im_proj_byol", "im_proj_byol_e", "im_pred_byol"):
        left |= {f"{head}.0.weight": (64, 24), f"{head}.0.bias": (64,)}
    return Published(whole.arch, whole.shapes | left, (*whole.left, *left))


def llm2clip_arch(small: bool, llm: str = "org/tiny") -> Any:
    """An image tower of EVA-02 with the adapter of a language model."""
    if not small:
        return "LLM2CLIP-EVA02-L-14-336"
    vision = small_timm("eva02_base_patch16_clip_224")["vision_cfg"] | {"timm_proj": None}
    vision["timm_model_kwargs"] = {"embed_dim": 48, "depth": 2, "num_heads": 3}
    adapter = {"width": 32, "blocks": 2, "expansion": 2}
    text = {"tower": "llm", "llm": llm, "template": "llm2vec-llama-3", "context_length": 64, "adapter": adapter}
    return {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}


def _llm2clip(small: bool) -> Published:
    """The names of EVA-CLIP's own ``EVAVisionTransformer`` and of ``TextProj``, as the training code has them."""
    width, depth, hidden, side, patch = (48, 2, 128, 32, 16) if small else (1024, 24, 2730, 336, 14)
    llm, joint, blocks = (32, 24, 2) if small else (4096, 1280, 4)
    found: Shapes = {"logit_scale": (), "visual.cls_token": (1, 1, width)}
    found |= {"visual.pos_embed": (1, (side // patch) ** 2 + 1, width)}
    found |= {"visual.patch_embed.proj.weight": (width, 3, patch, patch), "visual.patch_embed.proj.bias": (width,)}
    for at in (f"visual.blocks.{number}" for number in range(depth)):
        square, line = (width, width), (width,)
        found |= {f"{at}.{name}.{kind}": line for name in ("norm1", "norm2") for kind in ("weight", "bias")}
        found |= {f"{at}.attn.{name}_proj.weight": square for name in "qkv"}
        found |= {f"{at}.attn.{name}": line for name in ("q_bias", "v_bias", "proj.bias")}
        found |= {f"{at}.attn.inner_attn_ln.{kind}": line for kind in ("weight", "bias")}
        found |= {f"{at}.attn.proj.weight": square}
        found |= {f"{at}.mlp.{name}.weight": (hidden, width) for name in ("w1", "w2")}
        found |= {f"{at}.mlp.{name}.bias": (hidden,) for name in ("w1", "w2")}
        found |= {f"{at}.mlp.ffn_ln.{kind}": (hidden,) for kind in ("weight", "bias")}
        found |= {f"{at}.mlp.w3.weight": (width, hidden), f"{at}.mlp.w3.bias": line}
    found |= {"visual.norm.weight": (width,), "visual.norm.bias": (width,)}
    found |= {"visual.head.weight": (joint, width), "visual.head.bias": (joint,)}
    for at in (f"text.text_adaptor.{number}" for number in range(blocks)):
        found |= {f"{at}.fn.0.weight": (2 * llm, llm), f"{at}.fn.0.bias": (2 * llm,)}
        found |= {f"{at}.fn.3.weight": (llm, 2 * llm), f"{at}.fn.3.bias": (llm,)}
        found |= {f"{at}.ln.weight": (llm,), f"{at}.ln.bias": (llm,)}
    at = "text.text_adaptor"
    found |= {f"{at}.{blocks}.weight": (llm,), f"{at}.{blocks}.bias": (llm,)}
    found |= {f"{at}.{blocks + 1}.weight": (joint, llm), f"{at}.{blocks + 1}.bias": (joint,)}
    left = {"visual.rope.freqs_cos": (4, 64), "visual.rope.freqs_sin": (4, 64)}
    return Published(llm2clip_arch(small), found | left, tuple(left))


def _un2clip(small: bool) -> Published:
    arch = small_clip(quick_gelu=True) if small else "ViT-L-14-quickgelu"
    whole = clip_shapes(arch if small else open_clip.get_model_config(arch))
    return Published(arch, _part(whole, "visual."), base=whole)


def _image_tower(small: bool) -> Published:
    """The image tower alone, by our own names."""
    arch = small_clip() if small else "ViT-B-16"
    whole = clip_shapes(arch if small else open_clip.get_model_config(arch))
    return Published(arch, {name: shape for name, shape in whole.items() if name.startswith("visual.")}, base=whole)


def _image_tower_pair(small: bool) -> Published:
    """The image tower of a pair, by our own names, and a plain CLIP whose texts it was trained on."""
    arch: Any = small_timm() if small else "SLIP-ViT-B-16"
    whole = clip_shapes(small_clip() if small else open_clip.get_model_config("ViT-B-16"))
    return Published(
        arch, {name: shape for name, shape in _built(arch).items() if name.startswith("visual.")}, base=whole
    )


def _un2clip_timm(small: bool) -> Published:
    arch = siglip_arch(small)
    whole = _built(arch)
    return Published(arch, _part(whole, "visual."), base=whole)


def _timm_vit(small: bool) -> Published:
    arch: Any = small_timm() if small else "SLIP-ViT-B-16"
    whole = _built(arch)
    return Published(arch, _part(whole, "visual.trunk."), base=whole)


def _diva(small: bool) -> Published:
    arch = small_clip(quick_gelu=True) if small else "ViT-L-14-quickgelu"
    inside = clip_shapes(arch if small else open_clip.get_model_config(arch))
    left = {"class_model.final_fc.weight": (1024, 24), "class_model.final_fc.bias": (1024,)}
    left |= {"class_model.visual_proj.weight": (1024, 24), "unet.conv_in.weight": (320, 4, 3, 3)}
    left |= {"text_encoder.text_model.final_layer_norm.weight": (1024,)}
    return Published(arch, {f"class_model.model.{name}": shape for name, shape in inside.items()} | left, tuple(left))


def _clip_svd(small: bool) -> Published:
    """Each linear map ``x`` of a block as ``x.fc_V.weight``, ``x.vector_S`` and ``x.fc_U``, and attention as four."""
    arch = small_clip(quick_gelu=True) if small else "ViT-B-16-quickgelu"
    found: Shapes = {}
    for name, shape in clip_shapes(arch if small else open_clip.get_model_config(arch)).items():
        block, _, rest = name.partition(".attn.")
        if rest == "in_proj_weight":
            for part in "qkv":
                found |= _decomposed(f"{block}.attn.{part}_proj", (shape[0] // 3, shape[1]))
        elif rest.startswith("out_proj.weight"):
            found |= _decomposed(f"{block}.attn.proj", shape)
        elif ".mlp." in name and name.endswith(".weight"):
            found |= _decomposed(name.removesuffix(".weight"), shape)
        elif not rest and ".mlp." not in name:
            found[name] = shape
    return Published(arch, found)


def _decomposed(name: str, shape: tuple[int, ...]) -> Shapes:
    rank = min(shape)
    left = {f"{name}.fc_U.weight": (shape[0], rank), f"{name}.fc_U.bias": (shape[0],)}
    return left | {f"{name}.vector_S": (1, rank), f"{name}.fc_V.weight": (rank, shape[1])}


def _cloob(small: bool) -> Published:
    arch = small_clip(quick_gelu=True) if small else "RN50-quickgelu"
    found = clip_shapes(arch if small else open_clip.get_model_config(arch))
    found = {"logit_inv_tau" if name == "logit_scale" else name: shape for name, shape in found.items()}
    return Published(arch, found | {"logit_scale_hopfield": ()}, ("logit_scale_hopfield",))


def _protoclip(small: bool) -> Published:
    arch = small_clip(vision_cfg=RESNET) if small else "RN50"
    heads = {f"{kind}_projection_head.layers.{part}": (128, 128) for kind in ("image", "text") for part in "02"}
    left = {"logit_scale_proto": (), **heads}
    return Published(arch, clip_shapes(arch if small else open_clip.get_model_config(arch)) | left, tuple(left))


def _tinyclip(small: bool) -> Published:
    arch = small_clip() if small else "TinyCLIP-ViT-39M-16-Text-19M"
    return Published(arch, {_of_tinyclip(name): shape for name, shape in _built(arch).items()})


def _of_tinyclip(name: str) -> str:
    kind = (
        "_image_encoder" if name.startswith("visual.") else "_logit_scale" if name == "logit_scale" else "_text_encoder"
    )
    return f"{kind}.{name}"


def _tinyclip_auto(small: bool) -> Published:
    """Heads of 64: all of a block, some, or none; at the published size on the widths of ViT-B/32 as it was."""
    sizes = (64, 3, 16, 24, 300) if small else (640, 12, 32, 512, 49408)
    width, layers, patch, joint, words = sizes
    side = 32 if small else 224
    arch = {
        "embed_dim": joint,
        "vision_cfg": {"tower": "free", "image_size": side, "patch_size": patch},
        "text_cfg": {"tower": "free"},
    }
    found: Shapes = {
        **{f"_image_encoder.visual.{name}": shape for name, shape in _free_blocks(width, layers).items()},
        **{f"_image_encoder.visual.{norm}": (width,) for norm in ("ln_pre.weight", "ln_pre.bias")},
        **{f"_image_encoder.visual.{norm}": (width,) for norm in ("ln_post.weight", "ln_post.bias")},
        "_image_encoder.visual.class_embedding": (width,),
        "_image_encoder.visual.positional_embedding": ((side // patch) ** 2 + 1, width),
        "_image_encoder.visual.proj": (width, joint),
        "_image_encoder.visual.conv1.weight": (width, 3, patch, patch),
        **{f"_text_encoder.{name}": shape for name, shape in _free_blocks(width, layers).items()},
        **{f"_text_encoder.{norm}": (width,) for norm in ("ln_final.weight", "ln_final.bias")},
        "_text_encoder.positional_embedding": (77, width),
        "_text_encoder.token_embedding.weight": (words, width),
        "_text_encoder.text_projection": (width, joint),
    }
    twice = {f"{name[1:].replace('encoder', 'encoder_without_ddp', 1)}": shape for name, shape in found.items()}
    return Published(arch, found | {"_logit_scale.logit_scale": ()} | twice, tuple(twice))


def _free_blocks(width: int, layers: int) -> Shapes:
    """Blocks of 0, 1, 2, 0, … heads and, each, other numbers of units."""
    found: Shapes = {}
    for index in range(layers):
        block, inner, units = f"transformer.resblocks.{index}", 64 * (index % 3), 16 * (index + 1)
        attention: Shapes = {"ln_1.weight": (width,), "ln_1.bias": (width,), "attn.in_proj_bias": (3 * inner,)}
        attention |= {"attn.in_proj_weight": (3 * inner, width), "attn.out_proj.weight": (width, inner)}
        attention |= {"attn.out_proj.bias": (width,)}
        found |= {f"{block}.{name}": shape for name, shape in (attention if inner else {}).items()}
        found |= {f"{block}.ln_2.{part}": (width,) for part in ("weight", "bias")}
        found |= _mlp(f"{block}.mlp", width, units)
    return found


def _mlp(name: str, width: int, units: int) -> Shapes:
    into = {f"{name}.c_fc.weight": (units, width), f"{name}.c_fc.bias": (units,)}
    return into | {f"{name}.c_proj.weight": (width, units), f"{name}.c_proj.bias": (width,)}


def _clip_moe(small: bool) -> Published:
    """Mixtures of four experts in all blocks of both towers, and two position tables, as in Long-CLIP."""
    if small:
        arch: Any = small_clip(quick_gelu=True, text_cfg={"context_length": 248})
        config = arch
        towers = {part: {"tower": "moe", "top_k": 2, "head_width": 16} for part in ("vision_cfg", "text_cfg")}
        arch = {**arch, **towers, "vision_cfg": {**towers["vision_cfg"], "image_size": 32, "patch_size": 16}}
    else:
        arch, config = "CLIP-MoE-ViT-L-14", named("ViT-L-14-quickgelu", context_length=248)
    found: Shapes = {}
    for name, shape in clip_shapes(config).items():
        block, mlp, rest = name.partition(".mlp.")
        if mlp:
            found |= {f"{block}.experts.{expert}.{rest}": shape for expert in range(4)}
            found[f"{block}.gate.weight"] = (4, found[f"{block}.ln_2.weight"][0])
        else:
            found[name] = shape
    return Published(arch, found | {"positional_embedding_res": found["positional_embedding"]})


def _part(whole: Shapes, prefix: str) -> Shapes:
    return {name.removeprefix(prefix): shape for name, shape in whole.items() if name.startswith(prefix)}


def _built(arch: Any) -> Shapes:
    from densevl.encoders.architectures import build_model

    with torch.device("meta"):
        return shapes(build_model(arch)[0])


def tips_arch(small: bool, giant: bool = False) -> dict[str, Any]:
    """TIPSv2 with CLIP's tokenizer, since its own is a file."""
    name = "tipsv2-g14" if giant else "tipsv2-b14"
    config = json.loads((DATA / "architectures" / f"{name}.json").read_text())
    del config["text_cfg"]["tokenizer"]
    if small:
        config["embed_dim"] = 48
        config["text_cfg"] |= {"vocab_size": 49408, "context_length": 16, "heads": 3, "layers": 2, "hidden": 96}
        sizes = {"embed_dim": 48, "depth": 2, "num_heads": 3, **({"mlp_ratio": 16 / 3} if giant else {})}
        config["vision_cfg"] |= {"image_size": 56, "timm_model_kwargs": sizes}
    return config


def _transformers_tips(small: bool, giant: bool = False) -> Published:
    from transformers import Tipsv2Config, Tipsv2Model

    arch = tips_arch(small, giant)
    text, width = arch["text_cfg"], arch["embed_dim"]
    depth, heads = (2, 3) if small else (40, 24) if giant else (12, 12)
    texts = {"hidden_size": width, "intermediate_size": text["hidden"], "num_hidden_layers": text["layers"]}
    texts |= {"num_attention_heads": text["heads"], "vocab_size": text["vocab_size"]}
    images = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    images |= {"image_size": arch["vision_cfg"]["image_size"], "use_swiglu_ffn": giant}
    with torch.device("meta"):
        model = Tipsv2Model(Tipsv2Config(text_config=texts, vision_config=images))
    found = shapes(model)
    return Published(arch, found, ("vision_model.embeddings.mask_token",))


def _dinov2_names(sizes: Mapping[str, Any], name: str, giant: bool = False) -> Shapes:
    """timm's image tower as DINOv2's code names it: a mask token, registers, and a place for the class token."""
    with torch.device("meta"):
        found = shapes(timm.create_model(name, num_classes=0, **sizes))
    width = found["cls_token"][-1]
    registers, (_, places, _) = found.pop("reg_token"), found["pos_embed"]
    found |= {"register_tokens": registers, "pos_embed": (1, places + 1, width), "mask_token": (1, width)}
    if giant:
        found = {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): shape for key, shape in found.items()}
    return found


def _tips_text(small: bool) -> Published:
    arch = tips_arch(small)
    whole = _built(arch)
    texts = _part(whole, "text.")
    return Published(arch, texts | {"temperature": ()}, base=whole)


def _tips(small: bool, giant: bool = False) -> Published:
    arch = tips_arch(small, giant)
    vision = arch["vision_cfg"]
    images = _dinov2_names(
        {"img_size": vision["image_size"], **vision.get("timm_model_kwargs", {})}, vision["timm_model_name"], giant
    )
    found = {f"vision_encoder.{name}": shape for name, shape in images.items()}
    found |= {f"text_encoder.{name}": shape for name, shape in _part(_built(arch), "text.").items()}
    return Published(arch, found | {"temperature": ()}, ("vision_encoder.mask_token",))


def _dinov2(small: bool, giant: bool = False) -> Published:
    """The image half of TIPS, whose names are DINOv2's, on the text half."""
    arch = tips_arch(small, giant)
    vision = arch["vision_cfg"]
    sizes = {"img_size": vision["image_size"], **vision.get("timm_model_kwargs", {})}
    return Published(arch, _dinov2_names(sizes, vision["timm_model_name"], giant), ("mask_token",), base=_built(arch))


def dinotxt_arch(small: bool, name: str = "dinov3-txt-vit-l16-patches") -> dict[str, Any]:
    """dino.txt, with a DINO that is made small."""
    config = json.loads((DATA / "architectures" / f"{name}.json").read_text())
    if small:
        config["embed_dim"] = 64
        sizes = {"img_size": 56 if "v2" in name else 64, "embed_dim": 64, "depth": 2, "num_heads": 4}
        config["vision_cfg"] |= {"timm_model_kwargs": sizes, "heads": 4, "hidden": 192}
        config["text_cfg"] |= {"vocab_size": 49408, "context_length": 12, "width": 48, "heads": 4, "layers": 2}
    return config


def _dinov3(small: bool) -> Published:
    arch = dinotxt_arch(small)
    whole = _built(arch)
    found: Shapes = {}
    for name, shape in _part(whole, "visual.trunk.").items():
        for ours, theirs in (("gamma_1", "ls1.gamma"), ("gamma_2", "ls2.gamma"), ("reg_token", "storage_tokens")):
            name = name.replace(ours, theirs)
        if name.endswith("attn.q_bias"):
            found[name.replace("q_bias", "qkv.bias")] = (3 * shape[0],)
        elif not name.endswith("attn.v_bias"):
            found[name] = shape
    left = {name.replace(".bias", ".bias_mask"): shape for name, shape in found.items() if name.endswith("qkv.bias")}
    left |= {"mask_token": (1, found["cls_token"][-1]), "rope_embed.periods": (16,)}
    return Published(arch, found | left, tuple(left), base=whole)


def _dinotxt(small: bool) -> Published:
    """Names as the reference outputs list them, in both sizes."""
    arch = dinotxt_arch(small)
    whole = _built(arch)
    found: Shapes = {}
    for name, shape in whole.items():
        if name.startswith("visual.trained."):
            found["visual_model.head." + _head_name(name.removeprefix("visual.trained."))] = shape
        elif name.startswith("text."):
            found[f"text_model.{_text_name(name.removeprefix('text.'))}"] = shape
    return Published(arch, found, base=whole)


def _dinov2_txt_head(small: bool) -> Published:
    arch = dinotxt_arch(small, "dinov2-txt-vit-l14-patches")
    whole = _built(arch)
    found = {
        _head_name(name).replace("blocks.", "block_list."): shape
        for name, shape in _part(whole, "visual.trained.").items()
    }
    return Published(arch, found, base=whole)


def _dinov2_txt_text(small: bool) -> Published:
    arch = dinotxt_arch(small, "dinov2-txt-vit-l14-patches")
    whole = _built(arch)
    return Published(arch, {_text_name(name): shape for name, shape in _part(whole, "text.").items()}, base=whole)


def _talk2dino(small: bool) -> Published:
    """Two layers behind the texts of a CLIP; the base is that CLIP and the image tower in one."""
    arch = json.loads((DATA / "architectures" / "talk2dino-vit-b14.json").read_text())
    if small:
        sizes = {"embed_dim": 64, "depth": 2, "num_heads": 4}
        arch["embed_dim"] = 64
        arch["vision_cfg"] |= {"image_size": 56, "timm_model_kwargs": sizes}
        arch["text_cfg"] |= {"context_length": 12, "width": 48, "heads": 4, "layers": 2, "joint": 24}
    whole = _built(arch)
    found, base = {}, {}
    for name, shape in whole.items():
        layer = name.removeprefix("text.text_projection.")
        if layer == "joint":
            base["text_projection"] = shape
        elif layer.startswith("second."):
            found[layer.replace("second", "hidden_layers.0")] = shape
        elif layer != name:
            found[f"linear_layer.{layer}"] = shape
        else:
            base[name.removeprefix("text.")] = shape
    return Published(arch, found, base=base)


def _head_name(name: str) -> str:
    for ours, theirs in (("fc1_g", "w1"), ("fc1_x", "w2"), ("mlp.fc2", "mlp.w3")):
        name = name.replace(ours, theirs)
    return name.replace("norm.", "ln_final.") if name.startswith("norm.") else name


def _text_name(name: str) -> str:
    parts = (
        ("transformer.resblocks.", "blocks."),
        ("attn.in_proj_weight", "attention.qkv.weight"),
        ("attn.out_proj", "attention.proj"),
        ("ln_1", "attention_norm"),
        ("ln_2", "ffn_norm"),
        ("mlp.c_fc", "feed_forward.fc1"),
        ("mlp.c_proj", "feed_forward.fc2"),
    )
    for ours, theirs in parts:
        name = name.replace(ours, theirs)
    return "head.linear_projection.weight" if name == "text_projection.weight" else f"backbone.{name}"


def radio_arch(small: bool) -> dict[str, Any]:
    """C-RADIO v3 B with CLIP's tokenizer, since that of SigLIP 2 is a file."""
    config = json.loads((DATA / "architectures" / "c-radio-v3-b16.json").read_text())
    for key in ("hf_tokenizer_name", "tokenizer_kwargs"):
        del config["text_cfg"][key]
    if small:
        config["embed_dim"] = 24
        config["vision_cfg"] |= {"width": 32, "heads": 4, "layers": 2, "hidden": 128, "prefix": 5, "image_size": 64}
        config["vision_cfg"] |= {"grid": 8}
        config["text_cfg"] |= {"vocab_size": 49408, "context_length": 16, "width": 24, "heads": 3, "layers": 2}
    return config


def _radio(small: bool) -> Published:
    arch = radio_arch(small)
    vision, joint = arch["vision_cfg"], arch["embed_dim"]
    width, inside = vision["width"], 40 if small else 1536
    tower = "radio_model.model"
    found = {f"{tower}.patch_generator.embedder.weight": (width, 3 * 16 * 16)}
    found[f"{tower}.patch_generator.pos_embed"] = (1, vision.get("grid", 128) ** 2, width)
    found[f"{tower}.patch_generator.cls_token.token"] = (vision["prefix"], width)
    for index in range(vision["layers"]):
        block = f"{tower}.blocks.{index}"
        found |= {f"{block}.{norm}.{name}": (width,) for norm in ("norm1", "norm2") for name in ("weight", "bias")}
        found |= {f"{block}.ls{one}.grandma": (width,) for one in (1, 2)}
        for layer, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", vision["hidden"], width),
            ("mlp.fc2", width, vision["hidden"]),
        ):
            found |= {f"{block}.{layer}.weight": (rows, columns), f"{block}.{layer}.bias": (rows,)}
    left: Shapes = {"radio_model.summary_idxs": (2,), "radio_model.input_conditioner.norm_mean": (3, 1, 1)}
    for teacher, kept in (("siglip2-g", found), ("dino_v2", left)):
        for kind in ("head_mlp", "feat_mlp"):
            kept |= _radio_adaptor(f"radio_model.adaptors.{teacher}.{kind}", width, inside, joint)
    config = dict(vision) | {"adaptor": (inside, 2)}
    whole = _built(arch | {"vision_cfg": config})
    return Published(arch, found | left, tuple(left), base=whole)


def _radio_adaptor(name: str, width: int, inside: int, joint: int, blocks: int = 2) -> Shapes:
    found: Shapes = {f"{name}.fc1.weight": (inside, width), f"{name}.fc1.bias": (inside,)}
    for part, rows in [(f"blocks.{index}", inside) for index in range(blocks)] + [("final", joint)]:
        found |= {f"{name}.{part}.0.{one}": (inside,) for one in ("weight", "bias")}
        found |= {f"{name}.{part}.2.weight": (rows, inside), f"{name}.{part}.2.bias": (rows,)}
    return found


def _flame(small: bool) -> Published:
    """The image half beside a language model, of which a file may hold a part."""
    arch: Any = "FLAME-ViT-B-16"
    if small:
        arch = json.loads((DATA / "architectures" / f"{arch}.json").read_text()) | {"embed_dim": 32}
        arch["vision_cfg"] |= small_clip()["vision_cfg"]
    whole = _built(arch)
    found = {f"mm.{name}": shape for name, shape in _part(whole, "visual.layers.").items()}
    found |= {f"visual.{name}": shape for name, shape in _part(whole, "visual.trunk.").items()}
    found |= {"logit_scale": (), "logit_bias": ()}
    width = whole["visual.trunk.class_embedding"][0]
    left = {"visual.ln_post.weight": (width,), "visual.ln_post.bias": (width,), "visual.proj": (width, 24)}
    return Published(arch, found | left | {"text.model.norm.weight": (64,)}, (*left, "text.model.norm.weight"))


PUBLISHED: dict[str, Callable[[bool], Published]] = {
    "a-clip": _a_clip,
    "clip-moe": _clip_moe,
    "clip-svd": _clip_svd,
    "cloob": _cloob,
    "dinov2": _dinov2,
    "dinov2-giant": lambda small: _dinov2(small, giant=True),
    "dinov2-txt-head": _dinov2_txt_head,
    "dinov2-txt-text": _dinov2_txt_text,
    "dinov3": _dinov3,
    "dinov3-txt": _dinotxt,
    "diva": _diva,
    "flame": _flame,
    "image-tower": _image_tower,
    "image-tower-pair": _image_tower_pair,
    "laclip": lambda small: _laclip(small, qk_norm=True),
    "llm2clip": _llm2clip,
    "long-clip": _long_clip,
    "openai": _openai,
    "protoclip": _protoclip,
    "radio": _radio,
    "slip": _slip,
    "talk2dino": _talk2dino,
    "timm-vit": _timm_vit,
    "tinyclip": _tinyclip,
    "tinyclip-auto": _tinyclip_auto,
    "tips": _tips,
    "tips-giant": lambda small: _tips(small, giant=True),
    "tips-text": _tips_text,
    "transformers-clip": _transformers_clip,
    "transformers-siglip": _transformers_siglip,
    "transformers-tips": _transformers_tips,
    "un2clip": _un2clip,
    "un2clip-timm": _un2clip_timm,
}
"""Makers by the name of the layout: a small file with True, one of the published size with False."""
