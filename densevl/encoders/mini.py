"""The mini CLIP: an open_clip model of a few million parameters that densevl trains itself, on scenes.

It is an ordinary open_clip ``CLIP`` but for ``visual.conv1``: the linear patch embedding is replaced by a small stack
of convolutions with the same stride, since from scratch and in a short training the linear one does not learn shape
(Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021). Its tokenizer is open_clip's own, over a
short merges file that falls back to single bytes and so accepts any language.
"""

import json
from functools import cache
from importlib.resources import as_file, files
from typing import Any

from densevl.core.conv_stem import ConvStem
from densevl.encoders.plain import PlainCLIP
from densevl.encoders.texts.byte_pairs import BytePairs

__all__ = ["build_mini_clip", "mini_architecture", "mini_tokenizer"]

DATA = files("densevl") / "data" / "mini"


@cache
def mini_tokenizer() -> BytePairs:
    """The tokenizer of the mini models: bytes, scene words and common English letter groups."""
    with as_file(DATA / "merges.txt.gz") as path:
        return BytePairs(path, context_length=_architecture()["text_cfg"]["context_length"])


def build_mini_clip(filled: bool = False) -> tuple[Any, BytePairs]:
    """The mini CLIP, and its tokenizer.

    Args:
        filled: whether the weights will come from a file; else they are new ones, and the model is open_clip's.
    """
    architecture = _architecture()
    stem = architecture.pop("stem")
    tokenizer = mini_tokenizer()
    architecture["text_cfg"]["vocab_size"] = tokenizer.vocab_size
    if filled:
        model: Any = PlainCLIP(architecture)
    else:
        from open_clip import CLIP

        model = CLIP(**architecture)
    model.visual.conv1 = ConvStem(architecture["vision_cfg"]["width"], tuple(stem["channels"]))
    return model, tokenizer


def mini_architecture() -> dict:
    """The mini CLIP as an architecture of free shape, whose tensors have the same names."""
    config = _architecture()
    config["vision_cfg"] |= {"stem": config.pop("stem"), "tower": "free"}
    config["text_cfg"] |= {
        "vocab_size": mini_tokenizer().vocab_size,
        "tokenizer_kwargs": {"bpe_path": "mini/merges.txt.gz"},
    }
    return config


def _architecture() -> dict:
    return json.loads((DATA / "clip.json").read_text(encoding="utf-8"))
