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
from densevl.core.registry import ENCODERS
from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.encoders.mini import build_mini_clip
from densevl.encoders.texts.cache import TextCache
from densevl.weights import WeightsEntry, check_state_dict, fetch, load_state_dict, weights_entry, weights_table
from densevl.weights.download import file_sha256

__all__ = ["build_clip", "build_clip_model", "build_random_clip", "build_whole_clip", "identity"]

MINI = "mini-clip"
LEFTOVERS = {"input_resolution", "context_length", "vocab_size"}
"""Numbers that OpenAI's checkpoints hold beside the weights."""


@ENCODERS.register_module("clip")
def build_clip(
    weights: str | Path,
    arch: str | None = None,
    *,
    offline: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    text_cache: bool = True,
) -> CLIPEncoder:
    """A CLIP encoder in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, or a file.
        arch: architecture by its name in open_clip, such as ``"ViT-B-16-quickgelu"`` (the activation is part of the
            name; OpenAI's weights are made for QuickGELU), or ``"mini-clip"``; needed for a file, and known for a name.
        offline: never reach for the network.
        mean: mean of each channel in training, where it is not the one of the weights table, or OpenAI's.
        std: standard deviation of each channel, likewise.
        text_cache: keep text embeddings on disk.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    return _build(CLIPEncoder, weights, arch, offline, mean, std, text_cache)


@ENCODERS.register_module("whole-clip")
def build_whole_clip(
    weights: str | Path,
    arch: str | None = None,
    *,
    offline: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    text_cache: bool = True,
) -> WholeImageEncoder:
    """A CLIP encoder of whole images in float32 on the CPU, for inference: ResNets as well as ViTs.

    Args:
        weights: as for :func:`build_clip`.
        arch: likewise, such as ``"RN50x16-quickgelu"``.
        offline: likewise.
        mean: likewise.
        std: likewise.
        text_cache: likewise.

    Raises:
        UsageError: as :func:`build_clip`.
        WeightsError: as :func:`build_clip`.
    """
    return _build(WholeImageEncoder, weights, arch, offline, mean, std, text_cache)


def _build(
    kind: Callable[..., Any],
    weights: str | Path,
    arch: str | None,
    offline: bool,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    text_cache: bool,
) -> Any:
    entry = weights_entry(str(weights)) if str(weights) in weights_table() else None
    if arch is None and entry is not None:
        arch = entry.arch or entry.kind
    if arch is not None and kind is CLIPEncoder:
        _refuse_resnet(arch)
    path = fetch(weights if entry is None else entry, offline=offline)
    if arch is None:
        raise UsageError(f"say which architecture {path} belongs to, such as arch='ViT-B-16'")
    model, tokenizer = build_clip_model(arch, path)
    encoder = kind(
        model,
        tokenizer,
        model_id=identity(arch, path, entry),
        mean=mean or (entry.mean if entry else open_clip.OPENAI_DATASET_MEAN),
        std=std or (entry.std if entry else open_clip.OPENAI_DATASET_STD),
        text_cache=TextCache() if text_cache else None,
    )
    return encoder.eval().requires_grad_(False)


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
            "ViT-B-16, or build the model yourself and give it to densevl.encoders.CLIPEncoder"
        )
    return config


def _refuse_resnet(arch: str) -> None:
    if arch in open_clip.list_models() and not isinstance(_architecture(arch)["vision_cfg"]["layers"], int):
        raise UsageError(
            f"architecture {arch!r} is a ResNet, which has no patches to embed; take a ViT, such as ViT-B-16, or the "
            "encoder `whole-clip` where whole images are enough"
        )


def identity(arch: str, path: Path, entry: WeightsEntry | None = None) -> str:
    """The ``model_id`` of an architecture with the weights of a file.

    Args:
        arch: name of the architecture.
        path: the file.
        entry: of the weights table, whose hash was checked; without one it is computed.
    """
    digest = (entry and entry.sha256) or file_sha256(path)
    return f"{arch}@{digest[:12]}"


@ENCODERS.register_module("random-clip")
def build_random_clip(arch: str = "ViT-B-16", seed: int = 0) -> CLIPEncoder:
    """A CLIP encoder that has learned nothing; its ``model_id`` says so.

    Args:
        arch: architecture by its name in open_clip, or ``"mini-clip"``.
        seed: the same seed gives the same weights.

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
    return CLIPEncoder(model.eval().requires_grad_(False), tokenizer, model_id=f"{arch}@random:{seed}")
