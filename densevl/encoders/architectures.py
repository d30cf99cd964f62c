"""Architectures of image–text models as data: open_clip's JSON, by name, from a file or as a mapping.

Beside open_clip's own keys, ``vision_cfg`` and ``text_cfg`` may have ``tower``: the name of a tower of densevl
(:data:`densevl.encoders.towers.IMAGE_TOWERS`, :data:`densevl.encoders.texts.TEXT_TOWERS`), whose builder is given the
rest. Names of densevl's own are the files of ``data/architectures``.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError, WeightsError, suggestion
from densevl.core.files import parse_json
from densevl.encoders.mini import build_mini_clip
from densevl.encoders.plain import PlainCLIP, is_plain
from densevl.encoders.texts import TEXT_TOWERS
from densevl.encoders.texts.tokenizers import read_tokenizer
from densevl.encoders.towers import IMAGE_TOWERS
from densevl.weights.places import installed_file
from densevl.weights.table import DATA

__all__ = [
    "MINI",
    "ImageTextPair",
    "architecture",
    "architecture_beside",
    "architecture_name",
    "architectures",
    "build_model",
    "filled",
    "preparation_beside",
]

MINI = "mini-clip"
FOLDER = DATA / "architectures"

Arch = str | Mapping[str, Any]


class ImageTextPair(nn.Module):
    """An image tower and a text tower that share a space; tensors are named as in open_clip's ``CustomTextCLIP``.

    Args:
        visual: images "b 3 H W" to embeddings "b d", not normalised.
        text: token ids "q n" to embeddings "q d", not normalised.
        scale: logarithm of the factor of cosines, until weights are loaded.
        bias: what is added to the scaled cosines, in models of a sigmoid loss; None for none.
    """

    def __init__(
        self, visual: nn.Module, text: nn.Module, scale: float = math.log(1 / 0.07), bias: float | None = None
    ):
        super().__init__()
        self.visual, self.text = visual, text
        self.logit_scale = nn.Parameter(torch.tensor(scale))
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))

    @property
    def context_length(self) -> int:
        """Tokens that a text may have."""
        found: Any = getattr(self.text, "context_length", None) or getattr(self.text, "context", None)
        return int(found)

    def encode_image(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Whole normalised images in the joint space, not normalised."""
        return self.visual(images)

    def encode_text(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q d"]:
        """Tokenised texts in the joint space, not normalised."""
        return self.text(tokens)


@cache
def architectures() -> tuple[str, ...]:
    """Names of the architectures: densevl's own, then open_clip's."""
    import open_clip

    return (MINI, *sorted(path.stem for path in FOLDER.glob("*.json")), *open_clip.list_models())


def architecture(arch: Arch) -> dict[str, Any]:
    """The configuration of an architecture.

    Raises:
        UsageError: where the name is unknown, or the mapping is no architecture.
    """
    config = dict(_named(arch) if isinstance(arch, str) else arch)
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in config]
    if missing:
        raise UsageError(f"an architecture needs embed_dim, vision_cfg and text_cfg; {missing[0]} is missing")
    if "multimodal_cfg" in config or config["text_cfg"].get("hf_model_name"):
        raise UsageError(
            "this architecture writes texts, or has a text tower of a hub's own code; take one with a text tower of "
            "open_clip, such as ViT-B-16, or in the place of `hf_model_name` give the tower `hugging-face` and the "
            "content of its config.json as `config`"
        )
    return config


def _named(name: str) -> Mapping[str, Any]:
    own = FOLDER / f"{name}.json"
    if own.parent == FOLDER and own.is_file():
        return json.loads(own.read_text(encoding="utf-8"))
    if "open_clip" not in sys.modules:
        file = installed_file(f"open_clip/model_configs/{name}.json")
        if file.parent.name == "model_configs" and file.is_file():  # nobody has changed its architectures yet
            return json.loads(file.read_text(encoding="utf-8"))
    import open_clip

    if name in open_clip.list_models():
        return open_clip.get_model_config(name)
    raise UsageError(f"architecture {name!r} is unknown; {suggestion(name, architectures())}")


def architecture_name(arch: Arch, path: Path) -> str:
    """What an architecture is called in the identity of a model: a mapping by its file and what it says."""
    if isinstance(arch, str):
        return arch
    digest = hashlib.sha256(json.dumps(arch, sort_keys=True).encode()).hexdigest()
    return f"{path.stem}-{digest[:8]}"


def architecture_beside(path: Path) -> Arch | None:
    """The architecture in the JSON file beside a file of weights, itself or by its name; None where there is none.

    Raises:
        WeightsError: where the file is damaged or no architecture.
    """
    found = _beside(path)
    if isinstance(found, Mapping) and isinstance(found.get("arch"), str):
        return str(found["arch"])
    found = found.get("model_cfg", found) if isinstance(found, Mapping) else found
    if not isinstance(found, Mapping) or "vision_cfg" not in found:
        return None
    return found


def preparation_beside(path: Path) -> Mapping[str, Any]:
    """How images are prepared, as the JSON file beside a file of weights says under ``preparation``; else nothing.

    Raises:
        WeightsError: where the file is damaged.
    """
    found = _beside(path)
    said = found.get("preparation", {}) if isinstance(found, Mapping) else {}
    return said if isinstance(said, Mapping) else {}


def _beside(path: Path) -> Any:
    """The content of the JSON file beside a file of weights; None where there is none."""
    file = path.with_suffix(".json")
    try:
        return parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} does not tell the architecture of {path.name}: {error}") from error


def build_model(
    arch: Arch, state: Mapping[str, Tensor] | None = None, tokenizer: str | Path | None = None
) -> tuple[nn.Module, Any]:
    """A model of an architecture, and its tokenizer; nothing is downloaded.

    Args:
        arch: see :func:`architecture`, or ``"mini-clip"``.
        state: the tensors that the model will be filled with, by our names: towers of free shape are read from them,
            and a plain CLIP has no weights of its own. None for a model with new weights.
        tokenizer: file of the tokenizer, or the folder that holds it, where it is not CLIP's.

    Raises:
        UsageError: where the architecture is unknown or no such model.
        WeightsError: where the tokenizer is missing, damaged, or that of another architecture.
    """
    if arch == MINI:
        return build_mini_clip(filled=state is not None)
    config = architecture(arch)
    vision, text = config["vision_cfg"], config["text_cfg"]
    reader = read_tokenizer(text, tokenizer)
    try:
        if state is not None and is_plain(config):
            return PlainCLIP(config), reader
        import open_clip  # here: it takes longer to import than all else
        from open_clip.model import _build_text_tower, _build_vision_tower

        if "tower" not in vision and "tower" not in text:
            kind: type[nn.Module] = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
            return kind(**{key: value for key, value in config.items() if key != "custom_text"}), reader
        given, width, quick = state or {}, config["embed_dim"], bool(config.get("quick_gelu"))
        visual = (
            IMAGE_TOWERS.get(vision["tower"])(_without_tower(vision), width, _part(given, "visual."), quick)
            if "tower" in vision
            else _build_vision_tower(width, vision, quick)
        )
        words = (
            TEXT_TOWERS.get(text["tower"])(_without_tower(text), width, _part(given, "text."), quick)
            if "tower" in text
            else _build_text_tower(width, text, quick)
        )
    except (TypeError, KeyError, AssertionError) as error:
        raise UsageError(f"no model can be built of this architecture: {error}") from error
    bias = config.get("init_logit_bias")
    return ImageTextPair(visual, words, bias=None if bias is None else float(bias)), reader


def filled(model: nn.Module, again: Callable[[], nn.Module], state: Mapping[str, Tensor]) -> nn.Module:
    """A model of the meta device with the tensors of a state dict, in their dtype.

    On the meta device nothing is allocated and no random number drawn for weights that come from a file. Buffers that
    files do not hold are computed; where that cannot be done, the model is built anew in memory.

    Args:
        model: on the meta device.
        again: builds it anew.
        state: all of its parameters and buffers that files hold.
    """
    model.load_state_dict(state, assign=True)
    for module in model.modules():
        mask = getattr(module, "attn_mask", None)
        if isinstance(mask, Tensor) and mask.is_meta:  # each token of a text attends to earlier ones
            module.attn_mask = torch.full(mask.shape, -math.inf).triu_(1)
        own = [(name, buffer) for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        compute: Any = getattr(module, "init_non_persistent_buffers", None)
        if own and compute is not None:  # timm's, such as those of rotary embeddings
            for name, buffer in own:
                setattr(module, name, torch.empty_like(buffer, device="cpu"))
            compute()
    if any(buffer.is_meta for buffer in model.buffers()):
        with torch.random.fork_rng(devices=[]):
            model = again()
        model.load_state_dict(state, assign=True)
    return model


def _without_tower(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "tower"}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
