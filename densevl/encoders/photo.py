"""An encoder of photos, trained with the labels of ImageNet: EfficientNet-Lite0, and a lexicon as its text side.

It is no CLIP: it knows a thousand classes, what WordNet has above them, and no other word. Its joint space makes it
work where a CLIP does. With f the features of a place, W and b the weights and biases of the m classes, and a constant
s, vectors are homogeneous::

    u = (f, s) / |(f, s)|                         an image, a region or a patch
    W f + b = (s W, b) u / u_last                 so that the class scores can be had back exactly
    t = unit(mean over the classes of a word of (W_c, b_c / s), each without the mean of all classes)

Cosines of u and t compare images with words, one vector each, as with CLIP. Where several words are told apart the
exact probabilities serve, see :class:`densevl.core.features.ClosedSet`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from densevl.core.attention import NoAttention
from densevl.core.errors import UsageError
from densevl.core.features import ClosedSet
from densevl.core.geometry import Size
from densevl.core.images import normalise
from densevl.core.readings import Reading, UnknownWord
from densevl.encoders.contracts import NOTHING, LastBlock, Needs
from densevl.encoders.images import check_images, fit, whole_patches
from densevl.encoders.texts.lexicon import lexicon, lexicon_digest
from densevl.encoders.texts.word_vectors import WordVectors
from densevl.encoders.towers.efficientnet import EfficientNetTower, build_efficientnet
from densevl.weights.opened import open_weights, random_seed

__all__ = ["PhotoEncoder", "build_photo"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARCH = "efficientnet-lite0"

SCALE = 3.0
"""The constant s of the joint space: the norm of the features is about 17, so it hardly counts among images."""

TEMPERATURE = 35.0
"""Factor of cosines: about the product of the two norms behind them."""


class PhotoEncoder(nn.Module):
    """An encoder of photos, patches and the words of a lexicon in one space; see above.

    Args:
        tower: the image tower.
        model_id: identity of architecture and weights.
        vectors: word vectors for texts that the lexicon does not know, see
            :class:`densevl.encoders.texts.word_vectors.WordVectors`; empty for an error.

    Attributes:
        patch_size: side of a cell of the last map in pixels.
        width: of the tokens, the channels of the last map.
        depth: number of blocks, whose maps are called ``blocks.0`` to ``blocks.15``.
        dim: width of the joint space, one more than the last map has channels.
        temperature: factor of cosines.
        image_size: (height, width) of the images that it was trained with.
    """

    image_size: Size = (224, 224)
    temperature = TEMPERATURE

    def __init__(self, tower: EfficientNetTower, model_id: str, vectors: str | Path = "") -> None:
        super().__init__()
        self.tower, self.model_id = tower, model_id
        self.beyond = WordVectors(vectors, lexicon().synonyms) if vectors else None
        self.patch_size, self.width, self.depth = tower.stride, tower.width, tower.depth
        self.dim = tower.width + 1

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.tower.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.tower.dtype

    @torch.no_grad()
    def last_block(
        self,
        images: Float[Tensor, "b 3 H W"],
        needs: Needs = NOTHING,
        *,
        positions: str = "size",
        border: str = "black",
    ) -> LastBlock:
        """Run images of one size, any size, to the last map.

        Args:
            images: RGB in [0, 1].
            needs: what the reader needs beside it; maps are those of blocks, each on its own grid.
            positions: ``"size"``; the tower has no position embedding.
            border: what becomes of sides that are no multiple of the stride, one of
                :data:`densevl.encoders.contracts.BORDERS`.

        Raises:
            UsageError: where the images have another layout, or a map or a setting is unknown.
        """
        check_images(images)
        if positions != "size":
            raise UsageError(f"positions={positions} resizes a position embedding, which {ARCH} does not have")
        wanted = {name: self._block(name) for name in needs.maps}
        whole = normalise(whole_patches(images, self.patch_size, border), MEAN, STD)
        last, found = self.tower.maps(whole.to(self.dtype), set(wanted.values()))
        maps = {name: found[index] for name, index in wanted.items()}
        guide = None if needs.guide is None else needs.guide(images)
        seen = images if needs.images else None
        grid = (last.shape[2], last.shape[3])
        return LastBlock(last.flatten(2).mT, NoAttention(ARCH), grid, 0, maps, seen, guide)

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space, not normalised: with the constant behind it."""
        return F.pad(tokens, (0, 1), value=SCALE)

    @torch.no_grad()
    def tokens(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """The last map.

        Args:
            images: RGB in [0, 1], of one size.

        Raises:
            UsageError: where the images have another layout.
        """
        return self.last_block(images).output()

    @torch.no_grad()
    def embed_images(self, images: Float[Tensor, "b 3 H W"], mode: str | None = None) -> Float32[Tensor, "b d"]:
        """Embed whole images as unit vectors.

        Args:
            images: RGB in [0, 1], any size; brought to 224 pixels, bicubic with antialiasing.
            mode: ``"crop"`` scales the short side and crops the centre; ``"squash"`` keeps all of the image and gives
                up its ratio; ``"keep"`` takes the images at the size that they have.

        Raises:
            UsageError: where the images have another layout or the mode is unknown.
        """
        check_images(images)
        fitted = normalise(images if mode == "keep" else fit(images, self.image_size, mode or "crop"), MEAN, STD)
        return F.normalize(self.to_joint(self.tower.pooled(fitted.to(self.dtype))[None])[0].float(), dim=1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float32[Tensor, "q d"]:
        """Embed texts as unit vectors.

        Args:
            texts: class names or phrases, see :class:`densevl.encoders.texts.lexicon.Lexicon`.
            templates: not used, since a lexicon reads no sentences.

        Raises:
            UsageError: where there is no text, or the lexicon does not know some.
        """
        covered = self.covers(texts).to(self.device).float()
        weight, bias = self.tower.classes
        rows = torch.cat([weight.float(), bias.float()[:, None] / SCALE], dim=1)
        return F.normalize(covered @ (rows - rows.mean(0)) / covered.sum(1, keepdim=True), dim=1)

    @torch.no_grad()
    def closed_set(self, texts: Sequence[str]) -> ClosedSet:
        """The classes that it was trained to tell apart, and those that each text covers.

        Raises:
            UsageError: where the lexicon does not know some text.
        """
        weight, bias = self.tower.classes
        rows = torch.cat([weight.float() * SCALE, bias.float()[:, None]], dim=1)
        return ClosedSet(rows, self.covers(texts).to(self.device))

    def covers(self, texts: Sequence[str]) -> Bool[Tensor, "q m"]:
        """Which of the classes each text covers.

        Raises:
            UsageError: where there is no text, or the lexicon does not know some.
        """
        covered = torch.zeros(len(texts), len(self.tower.classes[1]), dtype=torch.bool)
        if isinstance(texts, str) or not texts:
            raise UsageError(f"give at least one text, as a list; got {texts!r}")
        for row, reading in zip(covered, lexicon().read_all(list(texts), self.beyond), strict=True):
            row[list(reading.classes)] = True
        return covered

    @property
    def words(self) -> str:
        """What it reads texts with, for reports."""
        vectors = "" if self.beyond is None else f", word vectors of {self.beyond.name}"
        return f"lexicon {lexicon_digest()}{vectors}"

    def understand(self, texts: Sequence[str]) -> tuple[Reading | UnknownWord, ...]:
        """How each text is read, or why it is not."""
        return lexicon().understand(texts, self.beyond)

    def fit_texts(self, texts: Sequence[str], template: str = "{}") -> tuple[list[str], int]:
        """The texts as they are: a lexicon has no longest text."""
        return list(texts), 0

    def _block(self, name: str) -> int:
        """The index of a block in the name of a map."""
        match = re.fullmatch(r"blocks\.(-?\d+)", name)
        index = -1 if match is None else int(match[1]) + (self.depth if int(match[1]) < 0 else 0)
        if not 0 <= index < self.depth:
            raise UsageError(
                f"unknown map {name!r} of {ARCH}; write `blocks.<index>` with an index from 0 to {self.depth - 1} or "
                f"from {-self.depth} to -1"
            )
        return index


def build_photo(
    weights: str | Path = ARCH, stride: int = 32, vectors: str | Path = "", *, offline: bool = False
) -> PhotoEncoder:
    """The encoder in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, a file of the same layout, or ``random:SEED`` for weights that mean
            nothing but take the same time.
        stride: side of a cell of the last map in pixels: 32 as trained, or 16 by dilation of the last stage.
        vectors: see :class:`PhotoEncoder`.
        offline: never reach for the network.

    Raises:
        UsageError: where the stride is another, or there are no such word vectors.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    seed = random_seed(weights)
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PhotoEncoder(build_efficientnet(None, stride), _identity(f"{ARCH}@random:{seed}", stride), vectors)
    opened = open_weights(weights, offline)
    tower = build_efficientnet(opened.state, stride, opened.path)
    return PhotoEncoder(tower, _identity(opened.identity(ARCH), stride), vectors)


def _identity(weights: str, stride: int) -> str:
    """The ``model_id``: features of another stride are other features."""
    return weights if stride == 32 else f"{weights}:stride{stride}"
