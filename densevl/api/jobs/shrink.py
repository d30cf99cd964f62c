"""Shrinking a CLIP: a smaller one made of its parts, at once, in a file that every command takes.

It writes the tensors and, beside them under the same name, the architecture as JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from densevl.core.errors import OutputError, UsageError
from densevl.core.files import atomic_write
from densevl.core.images import normalise
from densevl.core.int8 import check_trainable
from densevl.encoders.architectures import MINI, architecture, build_model
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.images import fit
from densevl.encoders.importance import best_parts, image_importance, text_importance
from densevl.encoders.inheritance import Parts, check_size, first_parts, inherit, shape_of
from densevl.encoders.mini import mini_architecture
from densevl.encoders.texts.open_clip import OpenClipTexts
from densevl.encoders.tuning.prompted_images import PromptedImages
from densevl.encoders.tuning.prompted_texts import PromptedTexts

__all__ = ["WHOLE", "Shrunk", "Size", "check_target", "shrink", "write_shrunk"]

AT_ONCE = 8
TEXT_PREFIX = "text."


class Size(NamedTuple):
    """The size that a tower shall have.

    Attributes:
        width: channels of its tokens; None for all.
        depth: blocks; None for all.
    """

    width: int | None = None
    depth: int | None = None

    @property
    def whole(self) -> bool:
        """True where nothing is taken away."""
        return self.width is None and self.depth is None


WHOLE = Size()
"""The size of a tower that is left as it is."""


@dataclass(frozen=True)
class Shrunk:
    """A smaller CLIP.

    Attributes:
        config: its architecture, as open_clip's JSON.
        state: its tensors.
        before: number of weights of the image tower and of the text tower that it was made of.
        after: the same of its own.
        image: what was kept of the image tower; None for all.
        text: what was kept of the text tower; None for all.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    before: tuple[int, int]
    after: tuple[int, int]
    image: Parts | None
    text: Parts | None

    def encoder(self, like: CLIPEncoder, inherited: bool = True) -> CLIPEncoder:
        """The smaller CLIP as an encoder.

        Args:
            like: the larger one, whose tokenizer, mean and size of images it has.
            inherited: with the tensors; False for new ones of the same shapes, which have learned nothing.
        """
        model, _ = build_model(self.config, self.state)
        if inherited:
            model.load_state_dict(self.state)
        words: Any = like.text
        name = f"{like.model_id}, {'shrunk' if inherited else 'new'} to {self.after[0]} and {self.after[1]} weights"
        made = CLIPEncoder(
            model.to(like.device, like.dtype),
            words.tokenizer,
            name,
            like.mean,
            like.std,
            resize=like.resize,
            interpolation=like.interpolation,
        )
        made.arch = self.config
        return made.eval().requires_grad_(False)


def check_target(out: Path) -> None:
    """Refuse a target that is no new file of safetensors.

    Raises:
        UsageError: where the suffix is another, or the file or the one beside it exists.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: weights are written as .safetensors; name such a file")
    for file in (out, out.with_suffix(".json")):
        if file.exists():
            raise UsageError(f"{file} exists; name another file, or move it away")


def shrink(
    encoder: Any,
    image: Size,
    text: Size = WHOLE,
    *,
    images: Sequence[Float[Tensor, "3 H W"]] | None = None,
    texts: Sequence[str] = (),
) -> Shrunk:
    """A smaller CLIP of the parts of another, not trained afterwards.

    Args:
        encoder: a CLIP whose image tower is open_clip's ViT, or one of free shape.
        image: the size of the image tower.
        text: the size of the text tower.
        images: RGB in [0, 1], any sizes: the importance of the parts is measured on them, and the most important are
            kept. None keeps the first parts, as TinyCLIP's manual inheritance does.
        texts: on which the importance of the parts of the text tower is measured.

    Raises:
        UsageError: where the encoder is another, a size cannot be had, or nothing is taken away.
    """
    if image.whole and text.whole:
        raise UsageError("nothing is taken away; name a --width or a --depth, of texts --text-width or --text-depth")
    check_trainable(encoder, "shrunk")
    config = _config(encoder)
    visual, words, others = _split(encoder.model.state_dict())
    heads = _head_widths(config)
    kept = _image_parts(encoder, visual, image, heads[0], images)
    kept_text = _text_parts(encoder, words, text, heads[1], None if images is None else texts)
    small = visual if kept is None else inherit(visual, kept, heads[0])
    small_text = words if kept_text is None else inherit(words, kept_text, heads[1])
    free = images is not None
    made = dict(config)
    made["vision_cfg"] = _sized(config["vision_cfg"], kept, free, {"head_width": heads[0]})
    text_head = (
        {"head_width": heads[1]} if free else {"heads": None if kept_text is None else _heads(kept_text, heads[1])}
    )
    made["text_cfg"] = _sized(config["text_cfg"], kept_text, free, text_head)
    own = "tower" in made["vision_cfg"] or "tower" in made["text_cfg"] or made.get("custom_text")
    prefix = TEXT_PREFIX if own else ""
    state = {f"visual.{name}": one for name, one in small.items()}
    state |= {f"{prefix}{name}": one for name, one in small_text.items()}
    state |= others
    return Shrunk(made, state, _weights(visual, words), _weights(small, small_text), kept, kept_text)


def _weights(image: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> tuple[int, int]:
    return sum(one.numel() for one in image.values()), sum(one.numel() for one in text.values())


def write_shrunk(shrunk: Shrunk, out: Path) -> Path:
    """Write the tensors, and the architecture beside them; return the file of the architecture.

    Raises:
        UsageError: where the target is no new file of safetensors.
        OutputError: where a file cannot be written.
    """
    check_target(out)
    beside = out.with_suffix(".json")
    with atomic_write(beside) as temporary:
        temporary.write_text(json.dumps(shrunk.config, indent=2) + "\n", encoding="utf-8")
    try:
        with atomic_write(out) as temporary:
            save_file({name: one.contiguous() for name, one in shrunk.state.items()}, temporary, {"format": "pt"})
    except OutputError:
        beside.unlink(missing_ok=True)
        raise
    return beside


def _config(encoder: Any) -> dict[str, Any]:
    """The architecture of an encoder whose towers are plain, or of free shape.

    Raises:
        UsageError: where they are not.
    """
    arch = getattr(encoder, "arch", None)
    if not isinstance(encoder, CLIPEncoder) or arch is None:
        raise UsageError(
            f"{type(encoder).__name__} is no CLIP of known architecture, so it cannot be shrunk; take a model on a "
            "CLIP with a ViT of open_clip, such as maskclip"
        )
    if isinstance(encoder.image, PromptedImages) or isinstance(encoder.text, PromptedTexts):
        raise UsageError("this CLIP has learnt tokens, which no smaller weights can say; shrink it without its delta")
    config = mini_architecture() if arch == MINI else architecture(arch)
    vision = config["vision_cfg"]
    plain = "timm_model_name" not in vision and not isinstance(vision.get("layers"), list)
    if not plain or vision.get("tower", "free") != "free":
        kind = vision.get("timm_model_name") or vision.get("tower") or "ResNet"
        raise UsageError(
            f"an image tower of {kind} cannot be shrunk; take a CLIP with a ViT of open_clip, as maskclip has"
        )
    return config


def _split(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of the image tower, of the text tower, and the others."""
    visual = {name.removeprefix("visual."): one for name, one in state.items() if name.startswith("visual.")}
    others = {name: one for name, one in state.items() if name.startswith("logit_")}
    words = {
        name.removeprefix(TEXT_PREFIX): one
        for name, one in state.items()
        if not name.startswith("visual.") and name not in others and not name.endswith("attn_mask")
    }
    return visual, words, others


def _head_widths(config: Mapping[str, Any]) -> tuple[int, int]:
    """Widths of the heads of both towers."""
    text = config["text_cfg"]
    of_text = text.get("head_width") or (text["width"] // text["heads"] if "heads" in text else 64)
    return int(config["vision_cfg"].get("head_width", 64)), int(of_text)


def _image_parts(
    encoder: CLIPEncoder, state: Mapping[str, Tensor], size: Size, head_width: int, images: Sequence[Tensor] | None
) -> Parts | None:
    """What is kept of the image tower; None for all."""
    if size.whole:
        return None
    shape = shape_of(state, head_width)
    width, depth = size.width or shape.width, size.depth or len(shape.heads)
    check_size(shape, width, depth)
    if images is None:
        return first_parts(shape, width, depth)
    if not images:
        raise UsageError("importance is measured on images, and there are none; name some")
    ready = torch.cat(
        [normalise(fit(one[None], encoder.image_size, "crop"), encoder.mean, encoder.std) for one in images]
    )
    batches = ready.to(encoder.device, encoder.image.dtype).split(AT_ONCE)
    return best_parts(shape, image_importance(encoder.image, shape, depth, batches), width)


def _text_parts(
    encoder: CLIPEncoder, state: Mapping[str, Tensor], size: Size, head_width: int, texts: Sequence[str] | None
) -> Parts | None:
    """What is kept of the text tower; None for all."""
    if size.whole:
        return None
    tower = encoder.text
    if not isinstance(tower, OpenClipTexts) or not tower.short_context:
        raise UsageError("this text tower is not open_clip's causal one, so it cannot be shrunk; leave --text-… out")
    shape = shape_of(state, head_width)
    width, depth = size.width or shape.width, size.depth or len(shape.heads)
    check_size(shape, width, depth)
    if texts is None:
        return first_parts(shape, width, depth)
    if not texts:
        raise UsageError(
            "importance in the text tower is measured on texts, and there are none; name some with --texts"
        )
    batches = tower.tokenize(texts, cut=True).to(tower.device).split(AT_ONCE)
    return best_parts(shape, text_importance(tower.tower, shape, depth, batches), width)


def _heads(parts: Parts, head_width: int) -> int:
    return len(parts.channels) // head_width


def _sized(config: Mapping[str, Any], parts: Parts | None, free: bool, heads: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a tower of which parts are kept: open_clip's own, or of free shape."""
    if parts is None:
        return dict(config)
    if not free and "tower" not in config:
        width, units = len(parts.channels), len(parts.blocks[0].units)
        exact = int(width * config.get("mlp_ratio", 4.0)) == units
        ratio = {} if exact else {"mlp_ratio": (units + 0.5) / width}
        return {**config, "width": width, "layers": len(parts.blocks), **heads, **ratio}
    told = ("width", "layers", "heads", "mlp_ratio")  # by the tensors
    rest = {key: value for key, value in config.items() if key not in told}
    return {**rest, "tower": "free", **{key: value for key, value in heads.items() if key == "head_width"}}
