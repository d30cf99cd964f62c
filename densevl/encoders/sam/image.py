"""SAM's image encoder, run from its pieces: attention takes a few heads at a time.

Kirillov et al., Segment Anything, ICCV 2023; a ViT whose attention adds relative positions (Li et al., ViTDet, ECCV
2022). Four of its blocks attend from every patch to every other. At 1024 pixels segment_anything holds the 4096²
weights of all heads several times over: gigabytes of fresh memory in each of these blocks. Here the weights of a few
heads are made in one place, one operation after the other. The modules and functions are segment_anything's, and so are
the values.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from segment_anything.modeling.image_encoder import (
    Attention,
    Block,
    ImageEncoderViT,
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["LastAttention", "encode_image", "encode_with_attention"]

WEIGHTS_AT_ONCE = 2**24
"""Entries of attention that are held together: 64 MiB in float32, one head of 4096 patches."""


@torch.no_grad()
def encode_image(encoder: ImageEncoderViT, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c h w"]:
    """The maps that ``encoder(images)`` gives.

    Args:
        encoder: of SAM.
        images: normalised and padded to the side of the encoder.
    """
    x = _embed(encoder, images)
    for block in encoder.blocks:
        x = _run_block(block, x)
    return encoder.neck(x.permute(0, 3, 1, 2))


class LastAttention(NamedTuple):
    """Queries, keys and values of the last block, of each head and patch.

    Attributes:
        query: scaled, with what it says of distances at its end: ``softmax(query keyᵀ)`` is the attention.
        key: with the place of the patch at its end, down and right, where the attention adds relative positions.
        value: what is gathered.
    """

    query: Float[Tensor, "b heads h w e"]
    key: Float[Tensor, "b heads h w e"]
    value: Float[Tensor, "b heads h w f"]


@torch.no_grad()
def encode_with_attention(
    encoder: ImageEncoderViT, images: Float[Tensor, "b 3 s s"]
) -> tuple[Float[Tensor, "b c h w"], LastAttention]:
    """The maps that ``encoder(images)`` gives, and the attention of its last block.

    Args:
        encoder: of SAM.
        images: normalised and padded to the side of the encoder.

    Raises:
        UsageError: where the last block attends within windows alone.
    """
    *blocks, last = encoder.blocks
    if last.window_size > 0:
        raise UsageError("the last block of this SAM attends within windows, and so tells nothing of the whole image")
    x = _embed(encoder, images)
    for block in blocks:
        x = _run_block(block, x)
    found = _attention(last.attn, last.norm1(x))
    return encoder.neck(_run_block(last, x).permute(0, 3, 1, 2)), found


def _embed(encoder: ImageEncoderViT, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b h w c"]:
    x = encoder.patch_embed(images)
    return x if encoder.pos_embed is None else x + encoder.pos_embed


def _attention(attention: Attention, x: Float[Tensor, "b h w c"]) -> LastAttention:
    """What each head attends with; a distance is a product of what the query says of it and the place of the key."""
    count, height, width, _ = x.shape
    parts = attention.qkv(x).reshape(count, height, width, 3, attention.num_heads, -1).permute(3, 0, 4, 1, 2, 5)
    query, key, value = parts
    if not attention.use_rel_pos:
        return LastAttention(query * attention.scale, key, value)
    down = torch.einsum("bmhwc,hkc->bmhwk", query, get_rel_pos(height, height, attention.rel_pos_h))
    right = torch.einsum("bmhwc,wkc->bmhwk", query, get_rel_pos(width, width, attention.rel_pos_w))
    rows, columns = torch.eye(height).to(x), torch.eye(width).to(x)
    places = [
        rows[:, None].expand(*key.shape[:2], height, width, height),
        columns[None].expand(*key.shape[:2], height, width, width),
    ]
    return LastAttention(
        torch.cat([query * attention.scale, down, right], dim=-1), torch.cat([key, *places], dim=-1), value
    )


def _run_block(block: Block, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
    normed = block.norm1(x)
    if block.window_size > 0:
        windows, padded = window_partition(normed, block.window_size)
        attended = window_unpartition(_attend(block.attn, windows), block.window_size, padded, x.shape[1:3])
    else:
        attended = _attend(block.attn, normed)
    x = x + attended
    return x + block.mlp(block.norm2(x))


def _attend(attention: Attention, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
    count, height, width, _ = x.shape
    tokens = height * width
    parts = attention.qkv(x).reshape(count, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = parts.flatten(1, 2)
    scaled, mixed = query * attention.scale, torch.empty_like(query)
    heads = min(len(query), max(1, WEIGHTS_AT_ONCE // tokens**2))
    place = query.new_empty(heads, tokens, tokens)
    for start in range(0, len(query), heads):
        some = slice(start, start + heads)
        weights = place[: len(query[some])]
        torch.bmm(scaled[some], key[some].mT, out=weights)
        if attention.use_rel_pos:
            _add_positions(weights, query[some], attention, height, width)
        torch.softmax(weights, dim=-1, out=weights)
        torch.bmm(weights, value[some], out=mixed[some])
    joined = mixed.view(count, attention.num_heads, height, width, -1).permute(0, 2, 3, 1, 4)
    return attention.proj(joined.reshape(count, height, width, -1))


def _add_positions(
    weights: Float[Tensor, "m n n"], query: Float[Tensor, "m n e"], attention: Attention, height: int, width: int
) -> None:
    """Add to the weights, in place, what each query says of the distance down and of the distance right."""
    grid = query.view(len(query), height, width, -1)
    down = torch.einsum("bhwc,hkc->bhwk", grid, get_rel_pos(height, height, attention.rel_pos_h))
    right = torch.einsum("bhwc,wkc->bhwk", grid, get_rel_pos(width, width, attention.rel_pos_w))
    weights.view(len(query), height, width, height, width).add_(down[..., None]).add_(right[..., None, :])
