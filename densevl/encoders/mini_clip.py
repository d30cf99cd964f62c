"""The mini CLIP: an open_clip model of a few million parameters that densevl trains itself, on scenes.

It is an ordinary open_clip ``CLIP`` but for ``visual.conv1``: the linear patch embedding is replaced by a small stack
of convolutions with the same stride, since from scratch and in a short training the linear one does not learn shape
(Xiao et al., Early Convolutions Help Transformers See Better, NeurIPS 2021). Its tokenizer is open_clip's own, over a
short merges file that falls back to single bytes and so accepts any language.
"""

import json
from functools import cache
from importlib.resources import as_file, files

import torch.nn.functional as F
from jaxtyping import Float
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

__all__ = ["ConvStem", "build_mini_clip", "mini_tokenizer"]

DATA = files("densevl") / "data" / "mini"


class ConvStem(nn.Sequential):
    """Patch embedding by strided 3x3 convolutions: pixels to one token for each patch of eight.

    Nothing in it depends on the batch or on statistics of the picture: normalisation is over the channels of one place.
    """

    def __init__(self, width: int, channels: tuple[int, int]):
        first, second = channels
        super().__init__(
            nn.Conv2d(3, first, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            ResidualConv(second),
            nn.Conv2d(second, width, 3, stride=2, padding=1),
            ResidualConv(width),
        )

    @property
    def weight(self) -> Tensor:
        """Weight of the first convolution: open_clip reads the device and dtype of ``visual.conv1`` from it."""
        return self[0].weight  # type: ignore[return-value]


class ResidualConv(nn.Module):
    """``x + conv(gelu(conv(norm(x))))``, of unchanged size."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        normalised = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.conv2(F.gelu(self.conv1(normalised)))


@cache
def mini_tokenizer() -> SimpleTokenizer:
    """The tokenizer of the mini models: bytes, scene words and common English letter groups."""
    with as_file(DATA / "merges.txt.gz") as path:
        return SimpleTokenizer(str(path), context_length=_architecture()["text_cfg"]["context_length"])


def build_mini_clip() -> tuple[CLIP, SimpleTokenizer]:
    """The mini CLIP with new weights, and its tokenizer."""
    architecture = _architecture()
    stem = architecture.pop("stem")
    tokenizer = mini_tokenizer()
    architecture["text_cfg"]["vocab_size"] = tokenizer.vocab_size
    model = CLIP(**architecture)
    model.visual.conv1 = ConvStem(architecture["vision_cfg"]["width"], tuple(stem["channels"]))
    return model, tokenizer


def _architecture() -> dict:
    return json.loads((DATA / "clip.json").read_text(encoding="utf-8"))
