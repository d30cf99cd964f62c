"""CLIP encoders from weights: an architecture of open_clip, filled from a file of the weights table or of the user."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from densevl.core.errors import UsageError, suggestion
from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.encoders.mini import build_mini_clip
from densevl.encoders.texts.cache import TextCache
from densevl.weights import check_state_dict, load_state_dict, weights_table
from densevl.weights.opened import open_weights, random_seed

__all__ = ["build_clip", "build_clip_model", "build_random_clip", "build_whole_clip"]

MINI = "mini-clip"
LEFTOVERS = {"input_resolution", "context_length", "vocab_size"}
"""Numbers that OpenAI's checkpoints hold beside the weights."""


def build_clip(
    weights: str | Path,
    arch: str | None = None,
    *,
    offline: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    text_cache: bool = True,
    whole: bool = False,
) -> Any:
    """A CLIP encoder in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, a file, or ``random:SEED`` for weights that mean nothing but take the same
            time.
        arch: architecture by its name in open_clip, such as ``"ViT-B-16-quickgelu"`` (the activation is part of the
            name; OpenAI's weights are made for QuickGELU), or ``"mini-clip"``; needed for a file, and known for a name.
        offline: never reach for the network.
        mean: mean of each channel in training, where it is not the one of the weights table, or OpenAI's.
        std: standard deviation of each channel in training, where it is not the one of the weights table, or OpenAI's.
        text_cache: keep text embeddings on disk.
        whole: embed whole images alone, which ResNets can do as well as ViTs.

    Returns:
        A :class:`densevl.encoders.clip.CLIPEncoder`, or where whole images are enough its base.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    seed = random_seed(weights)
    if seed is not None:
        return build_random_clip(arch or "ViT-B-16", seed, whole)
    named = weights_table().get(str(weights))
    if arch is None and named is not None:
        arch = named.arch or named.kind
    if arch is not None and not whole:
        _refuse_resnet(arch)
    opened = open_weights(weights, offline)
    if arch is None:
        raise UsageError(f"say which architecture {opened.path} belongs to, such as arch='ViT-B-16'")
    model, tokenizer = build_clip_model(arch, opened.path)
    kind = WholeImageEncoder if whole else CLIPEncoder
    encoder = kind(
        model,
        tokenizer,
        model_id=opened.identity(arch),
        mean=mean or (named.mean if named else open_clip.OPENAI_DATASET_MEAN),
        std=std or (named.std if named else open_clip.OPENAI_DATASET_STD),
        text_cache=TextCache() if text_cache else None,
    )
    return encoder.eval().requires_grad_(False)


def build_whole_clip(weights: str | Path, arch: str | None = None, **settings: Any) -> WholeImageEncoder:
    """A CLIP encoder of whole images alone: ResNets as well as ViTs.

    Args:
        weights: a name of the weights table, or a file.
        arch: architecture by its name in open_clip, such as ``"RN50x16-quickgelu"``.
        settings: further arguments of :func:`build_clip`.

    Raises:
        UsageError: as :func:`build_clip`.
        WeightsError: as :func:`build_clip`.
    """
    return build_clip(weights, arch, **settings, whole=True)


def build_clip_model(arch: str, path: str | Path) -> tuple[nn.Module, Callable[..., Tensor]]:
    """An open_clip model with the weights of a file, and its tokenizer; nothing is downloaded.

    Raises:
        UsageError: where the architecture is unknown, or needs files of a hub for its text tower.
        WeightsError: where the file is damaged or of another architecture.
    """
    state = {name: tensor for name, tensor in load_state_dict(path).items() if name not in LEFTOVERS}
    if arch == MINI:
        model, tokenizer = build_mini_clip()
        check_state_dict(state, model.state_dict(), path)
        model.load_state_dict(state)
    else:
        config = _architecture(arch)
        tokenizer = SimpleTokenizer(context_length=config["text_cfg"].get("context_length", 77))
        # On the meta device nothing is allocated and no random number drawn for weights that come from the file.
        with torch.device("meta"):
            model = open_clip.CLIP(**config)
        # Counters of training steps, which batch normalisation keeps and inference does not read.
        counters = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
        state |= {name: torch.tensor(0) for name in counters if name not in state}
        check_state_dict(state, model.state_dict(), path)
        model.load_state_dict(state, assign=True)
        if model.attn_mask is not None:  # a buffer that files do not hold
            model.attn_mask = torch.full(model.attn_mask.shape, -math.inf).triu_(1)
    return model.float().eval(), tokenizer


def _architecture(arch: str) -> dict[str, Any]:
    """Arguments of open_clip's ``CLIP``."""
    known = open_clip.list_models()
    if arch not in known:
        raise UsageError(f"architecture {arch!r} is unknown; {suggestion(arch, [*known, MINI])}")
    config = open_clip.get_model_config(arch)
    vision, text = config["vision_cfg"], config["text_cfg"]
    hub = [key for key in ("hf_model_name", "hf_tokenizer_name") if key in text]
    if set(config) & {"custom_text", "multimodal_cfg"} or "timm_model_name" in vision or hub:
        raise UsageError(
            f"architecture {arch!r} is no plain CLIP with open_clip's own ViT and tokenizer; take one such as "
            "ViT-B-16, or build the model yourself and give it to densevl.encoders.clip.CLIPEncoder"
        )
    return config


def _refuse_resnet(arch: str) -> None:
    if arch in open_clip.list_models() and not isinstance(_architecture(arch)["vision_cfg"]["layers"], int):
        raise UsageError(
            f"architecture {arch!r} is a ResNet, which has no patches to embed; take a ViT, such as ViT-B-16, or the "
            "encoder `whole-clip` where whole images are enough"
        )


def build_random_clip(arch: str = "ViT-B-16", seed: int = 0, whole: bool = False) -> Any:
    """A CLIP encoder that has learned nothing; its ``model_id`` says so.

    Args:
        arch: architecture by its name in open_clip, or ``"mini-clip"``.
        seed: the same seed gives the same weights.
        whole: embed whole images alone, which ResNets can do as well as ViTs.

    Raises:
        UsageError: where the architecture is unknown.
    """
    if arch != "mini-clip" and arch not in open_clip.list_models():
        raise UsageError(f"architecture {arch!r} is unknown; take one of open_clip, such as ViT-B-16, or mini-clip")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if arch == "mini-clip":
            model, tokenizer = build_mini_clip()
        else:
            model, tokenizer = open_clip.CLIP(**open_clip.get_model_config(arch)), SimpleTokenizer()
    kind = WholeImageEncoder if whole else CLIPEncoder
    return kind(model.eval().requires_grad_(False), tokenizer, model_id=f"{arch}@random:{seed}")
