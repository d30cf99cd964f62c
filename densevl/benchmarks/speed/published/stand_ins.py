"""Small modules in the place of the libraries that the published code of CLIP-DINOiser was written on.

It imports mmcv 1.x, mmsegmentation 0.x and omegaconf, which cannot be installed beside today's torch, and asks
open_clip for weights. What it uses of them is little, and written down here anew: a registry, reading of YAML,
``resize``, and the segmentor that slides windows over an image. Where it imports a name that a run on images never
calls, a name alone stands in.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int64
from torch import Tensor, nn

from densevl.core.geometry import Size

__all__ = ["EncoderDecoder", "stand_ins", "standing_in"]

PACKAGES = ("models", "segmentation")
"""Packages of the published code, imported anew for each checkout."""


class Registry:
    """Classes by name, as mmcv 1.x keeps them; what it gets beside a name is not used."""

    def __init__(self, *_: object, **__: object) -> None:
        self.classes: dict[str, Any] = {}

    def register_module(self) -> Callable[[Any], Any]:
        """A decorator that notes a class under its name."""

        def note(some: Any) -> Any:
            self.classes[some.__name__] = some
            return some

        return note

    def build(self, config: Mapping[str, Any], default_args: Mapping[str, Any]) -> Any:
        """The object of a config, whose ``type`` names the class."""
        arguments = {**default_args, **config}
        return self.classes[arguments.pop("type")](**arguments)


class EncoderDecoder(nn.Module):
    """What slides windows over an image, as mmsegmentation 0.x does it.

    Its last step, a softmax over the averaged scores, is left out, in favour of the published code: it takes time and
    changes no label.

    Attributes:
        num_classes: number of classes.
        test_cfg: ``stride`` and ``crop_size`` as (height, width), in pixels of the resized image.
        align_corners: of the last interpolation.
    """

    num_classes: int
    test_cfg: Mapping[str, Any]
    align_corners: bool

    def encode_decode(self, img: Float[Tensor, "1 3 H W"], meta: Sequence[Any]) -> Float[Tensor, "1 k H W"]:
        """Scores of all classes at the pixels of a window."""
        raise NotImplementedError

    def crops(self, size: Size) -> list[tuple[slice, slice]]:
        """Rows and columns of each window; the last of a row or a column is moved back into the image."""
        spans = []
        for side, crop, stride in zip(size, self.test_cfg["crop_size"], self.test_cfg["stride"], strict=True):
            starts = [min(step * stride, max(side - crop, 0)) for step in range(-(-max(side - crop, 0) // stride) + 1)]
            spans.append([slice(start, min(start + crop, side)) for start in starts])
        return [(rows, columns) for rows in spans[0] for columns in spans[1]]

    def labels(self, img: Float[Tensor, "1 3 H W"], size: Size) -> Int64[Tensor, "H2 W2"]:
        """The label of every pixel of the original image.

        Each window's scores are padded to the size of the image, added, and divided by the number of windows there.

        Args:
            img: the resized image.
            size: (height, width) of the original one.
        """
        height, width = img.shape[2:]
        total, count = (img.new_zeros(1, depth, height, width) for depth in (self.num_classes, 1))
        for rows, columns in self.crops((height, width)):
            scores = self.encode_decode(img[..., rows, columns], [])
            total += F.pad(scores, (columns.start, width - columns.stop, rows.start, height - rows.stop))
            count[..., rows, columns] += 1
        merged = F.interpolate(total / count, size, mode="bilinear", align_corners=self.align_corners)
        return merged.argmax(dim=1)[0]


def stand_ins(folder: Path, clip: nn.Module) -> dict[str, dict[str, object]]:
    """What each module that is stood in for offers, by name.

    Args:
        folder: the checkout, whose code names its files relative to it.
        clip: open_clip's model, of which the code gets a copy wherever it asks for pretrained weights.
    """

    def load(path: str) -> Any:
        return yaml.safe_load((folder / path).read_text(encoding="utf-8"))

    def resize(input: Tensor, size: Any, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
        return F.interpolate(input, size, mode=mode, align_corners=align_corners)

    def create_model_from_pretrained(*_: object, **__: object) -> tuple[nn.Module, None]:
        return _tokens_second(deepcopy(clip)), None

    def get_tokenizer(_: str) -> Callable[[str], Tensor]:
        return lambda text: torch.zeros(1, getattr(clip, "context_length", 77), dtype=torch.long)

    def never(*_: object, **__: object) -> None:
        raise NotImplementedError

    return {
        "mmcv": {},
        "mmcv.cnn": {"MODELS": Registry()},
        "mmcv.utils": {"Registry": Registry},
        "mmseg": {},
        "mmseg.datasets": {"build_dataloader": never, "build_dataset": never},
        "mmseg.models": {"EncoderDecoder": EncoderDecoder},
        "mmseg.ops": {"resize": resize},
        "omegaconf": {"OmegaConf": SimpleNamespace(load=load, to_container=lambda config, resolve: config)},
        "open_clip": {
            "create_model_from_pretrained": create_model_from_pretrained,
            "get_tokenizer": get_tokenizer,
        },
    }


@contextmanager
def standing_in(modules: Mapping[str, Mapping[str, object]], folder: Path) -> Iterator[None]:
    """Import from a checkout with modules that stand in, and leave the interpreter as it was.

    Args:
        modules: what each offers, by name.
        folder: of the checkout; its packages are imported anew, and nothing is written beside them.
    """
    roots = {name.partition(".")[0] for name in (*modules, *PACKAGES)}
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in roots}
    bytecode = sys.dont_write_bytecode
    _forget(roots)
    try:
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        for name, content in modules.items():
            module = ModuleType(name)
            module.__dict__.update(content, __path__=[])
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path.remove(str(folder))
        _forget(roots)
        sys.modules.update(kept)


def _forget(roots: set[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in roots]:
        del sys.modules[name]


def _tokens_second(clip: Any) -> Any:
    """A model of today's open_clip that runs its blocks as version 2.24 does, which the published code hooks.

    There tokens come first and images second, (tokens, images, width). Today's class does the same where
    ``batch_first`` is false, but no config of a model can ask for it.
    """
    transformer = clip.visual.transformer
    transformer.batch_first = False
    for block in transformer.resblocks:
        block.attn.batch_first = False
    return clip
