"""Small models whose blocks have free shapes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from densevl.encoders.architectures import build_model

FREE: dict[str, Any] = {"width": 24, "vision": {"image_size": 32, "patch_size": 8, "head_width": 8}}
SHAPES = ((2, 40), (0, 24), (5, 8), (1, 0), (3, 16))
"""Heads and units of each block of the image tower; the text tower has the first three."""


def free_state(shapes: Sequence[tuple[int, int]] = SHAPES, mixtures: int = 0) -> dict[str, Tensor]:
    """Tensors of a model of a joint space of 16 by our names.

    Args:
        shapes: heads and units of each block.
        mixtures: how many of the last blocks have a mixture of three experts.
    """
    width = FREE["width"]
    generator = torch.Generator().manual_seed(3)
    state: dict[str, Tensor] = {}

    def draw(name: str, *shape: int) -> None:
        state[name] = torch.randn(shape, generator=generator) * (0.3 if len(shape) < 2 else shape[-1] ** -0.5)
        if name.rpartition(".")[0].rpartition(".")[2].startswith("ln_") and name.endswith("weight"):
            state[name] += 1

    def linear(name: str, into: int, out: int) -> None:
        draw(f"{name}.weight", out, into)
        draw(f"{name}.bias", out)

    def norm(name: str) -> None:
        draw(f"{name}.weight", width)
        draw(f"{name}.bias", width)

    for tower, blocks in (("visual", shapes), ("text", shapes[:3])):
        for index, (heads, units) in enumerate(blocks):
            block, inner = f"{tower}.transformer.resblocks.{index}", 8 * heads
            if heads:
                norm(f"{block}.ln_1")
                draw(f"{block}.attn.in_proj_weight", 3 * inner, width)
                draw(f"{block}.attn.in_proj_bias", 3 * inner)
                linear(f"{block}.attn.out_proj", inner, width)
            mixed = index >= len(blocks) - mixtures
            if units or mixed:
                norm(f"{block}.ln_2")
            for part in [f"experts.{number}" for number in range(3)] if mixed else ["mlp"] * bool(units):
                linear(f"{block}.{part}.c_fc", width, units or 8)
                linear(f"{block}.{part}.c_proj", units or 8, width)
            if mixed:
                draw(f"{block}.gate.weight", 3, width)
    draw("visual.conv1.weight", width, 3, 8, 8)
    state["visual.conv1.weight"] /= 8
    for name in ("visual.ln_pre", "visual.ln_post", "text.ln_final"):
        norm(name)
    draw("visual.class_embedding", width)
    draw("visual.positional_embedding", 17, width)
    draw("visual.proj", width, 16)
    draw("text.token_embedding.weight", 49408, width)
    draw("text.positional_embedding", 20, width)
    draw("text.text_projection", width, 16)
    state["logit_scale"] = torch.tensor(2.0)
    return state


def free_model(tower: str = "free", shapes: Sequence[tuple[int, int]] = SHAPES, top_k: Any = 2) -> Any:
    """A model with these tensors: ``"free"``, or ``"moe"`` with mixtures in the last two blocks of each tower."""
    state = free_state(shapes, 2 if tower == "moe" else 0)
    more = {"tower": tower} | ({"top_k": top_k} if tower == "moe" else {})
    arch = {"embed_dim": 16, "vision_cfg": {**FREE["vision"], **more}, "text_cfg": {"head_width": 8, **more}}
    model, _ = build_model(arch, state)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)
