"""The plain CLIP, as most files of weights hold it: a ViT and a causal text tower of standard blocks.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
https://arxiv.org/abs/2103.00020, in the form of open_clip 3.3: tensors have open_clip's names, architectures are its
JSON, and results are equal to its to the last bit. open_clip itself imports torchvision, timm and transformers, which
takes longer than all else before the first image; a model that comes from a file needs none of them.

Modules here have no first weights: they are filled from a file. Models that are trained from the start are open_clip's.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["PlainBlock", "PlainCLIP", "PlainViT", "is_plain"]

MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale", "init_logit_bias"}
IMAGE = {"image_size", "patch_size", "width", "head_width", "layers", "mlp_ratio", "ls_init_value"}
IMAGE |= {"no_ln_pre", "pool_type", "final_ln_after_pool"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "ls_init_value", "pool_type", "eos_id"}
TOKENIZER = {"hf_tokenizer_name", "tokenizer_kwargs", "tokenizer"}
"""What an architecture may say where its model is plain; the names are open_clip's."""


def is_plain(config: Mapping[str, Any]) -> bool:
    """True for an architecture whose model is a :class:`PlainCLIP`.

    Args:
        config: as open_clip's JSON.
    """
    image, text = config["vision_cfg"], config["text_cfg"]
    return (
        MODEL.issuperset(config)
        and not config.get("custom_text")
        and IMAGE.issuperset(image)
        and (TEXT | TOKENIZER).issuperset(text)
        and isinstance(image.get("layers", 12), int)
        and image.get("pool_type", "tok") in ("tok", "avg")
        and text.get("pool_type", "argmax") in ("argmax", "eos")
    )


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that OpenAI's CLIP was trained with."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Apply it."""
        return x * torch.sigmoid(1.702 * x)


class LayerScale(nn.Module):
    """A factor for each channel.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Multiply."""
        return x * self.gamma


class PlainBlock(nn.Module):
    """``x + ls_1(attn(ln_1(x)))`` and then ``x + ls_2(mlp(ln_2(x)))``.

    Args:
        width: of the tokens.
        heads: of the attention.
        units: of the feed-forward layers.
        quick_gelu: take QuickGELU between them, not GELU.
        scaled: scale each channel of what is added.
    """

    def __init__(self, width: int, heads: int, units: int, quick_gelu: bool, scaled: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ls_1 = LayerScale(width) if scaled else nn.Identity()
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, units))
        self.mlp.add_module("gelu", QuickGELU() if quick_gelu else nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(units, width))
        self.ls_2 = LayerScale(width) if scaled else nn.Identity()

    def forward(self, x: Float[Tensor, "b n c"], attn_mask: Float[Tensor, "n n"] | None = None) -> Tensor:
        """Run the block whole, under a mask that is added to the logits."""
        normed = self.ln_1(x)
        mask = None if attn_mask is None else attn_mask.to(x.dtype)
        x = x + self.ls_1(self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0])
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class PlainTransformer(nn.Module):
    """Blocks in a row.

    Args:
        config: ``vision_cfg`` or ``text_cfg`` of an architecture.
        width: of the tokens.
        heads: of each block.
        quick_gelu: see :class:`PlainBlock`.
    """

    batch_first = True

    def __init__(self, config: Mapping[str, Any], width: int, heads: int, quick_gelu: bool) -> None:
        super().__init__()
        self.width, self.layers = width, config.get("layers", 12)
        units, scaled = int(width * config.get("mlp_ratio", 4.0)), config.get("ls_init_value") is not None
        blocks = (PlainBlock(width, heads, units, quick_gelu, scaled) for _ in range(self.layers))
        self.resblocks = nn.ModuleList(blocks)

    def get_cast_dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        first: Any = self.resblocks[0]
        return first.mlp.c_fc.weight.dtype

    def forward(self, x: Float[Tensor, "b n c"], attn_mask: Float[Tensor, "n n"] | None = None) -> Tensor:
        """Run all blocks."""
        for block in self.resblocks:
            x = block(x, attn_mask)
        return x


class PlainViT(nn.Module):
    """The image tower.

    Args:
        config: ``vision_cfg`` of an architecture.
        dim: width of the joint space.
        quick_gelu: see :class:`PlainBlock`.
    """

    attn_pool = None

    def __init__(self, config: Mapping[str, Any], dim: int, quick_gelu: bool) -> None:
        super().__init__()
        width, patch = config.get("width", 768), config.get("patch_size", 16)
        self.image_size, self.patch_size = _pair(config.get("image_size", 224)), _pair(patch)
        self.grid_size = tuple(side // one for side, one in zip(self.image_size, self.patch_size, strict=True))
        self.output_dim, self.pool_type = dim, config.get("pool_type", "tok")
        self.final_ln_after_pool = config.get("final_ln_after_pool", False)
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(math.prod(self.grid_size) + 1, width))
        self.ln_pre = nn.Identity() if config.get("no_ln_pre") else nn.LayerNorm(width)
        heads = width // config.get("head_width", 64)
        self.transformer = PlainTransformer(config, width, heads, quick_gelu)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, dim))

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of normalised images of the native size, not normalised."""
        x = self.conv1(images).flatten(2).mT
        first = self.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([first, x], dim=1) + self.positional_embedding.to(x.dtype))
        x = self.transformer(x)
        if not self.final_ln_after_pool:
            x = self.ln_post(x)
        pooled = x[:, 0] if self.pool_type == "tok" else x[:, 1:].mean(dim=1)
        return (self.ln_post(pooled) if self.final_ln_after_pool else pooled) @ self.proj


class PlainCLIP(nn.Module):
    """A ViT and a causal text tower in one space.

    Args:
        config: an architecture for which :func:`is_plain` is true.
    """

    attn_mask: Float[Tensor, "n n"]

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dim, quick, text = config["embed_dim"], bool(config.get("quick_gelu")), config["text_cfg"]
        self.visual = PlainViT(config["vision_cfg"], dim, quick)
        width = text.get("width", 512)
        self.transformer = PlainTransformer(text, width, text.get("heads", 8), quick)
        self.context_length, self.vocab_size = text.get("context_length", 77), text.get("vocab_size", 49408)
        self.text_pool_type, self.text_eos_id = text.get("pool_type", "argmax"), text.get("eos_id", 2)
        table = torch.empty(self.vocab_size, width)  # new weights, which would be drawn, are never read
        self.token_embedding = nn.Embedding.from_pretrained(table, freeze=False)
        self.positional_embedding = nn.Parameter(torch.empty(self.context_length, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, dim))
        mask = torch.full((self.context_length, self.context_length), -math.inf, device="cpu").triu_(1)
        self.register_buffer("attn_mask", mask, persistent=False)
        self.logit_scale = nn.Parameter(torch.tensor(config.get("init_logit_scale", math.log(1 / 0.07))))
        bias = config.get("init_logit_bias")
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))

    def encode_image(self, image: Float[Tensor, "b 3 H W"], normalize: bool = False) -> Float[Tensor, "b d"]:
        """Embeddings of normalised images of the native size; unit vectors where ``normalize`` is set."""
        embedded = self.visual(image)
        return F.normalize(embedded, dim=-1) if normalize else embedded

    def encode_text(self, text: Int[Tensor, "q n"], normalize: bool = False) -> Float[Tensor, "q d"]:
        """Embeddings of token ids, padded to the context; unit vectors where ``normalize`` is set."""
        dtype = self.transformer.get_cast_dtype()
        x = self.token_embedding(text).to(dtype) + self.positional_embedding.to(dtype)
        x = self.ln_final(self.transformer(x, self.attn_mask))
        ends = text if self.text_pool_type == "argmax" else (text == self.text_eos_id).int()
        embedded = x[torch.arange(len(x), device=x.device), ends.argmax(dim=-1)] @ self.text_projection
        return F.normalize(embedded, dim=-1) if normalize else embedded


def _pair(side: Any) -> tuple[int, int]:
    height, width = (side, side) if isinstance(side, int) else side
    return height, width
