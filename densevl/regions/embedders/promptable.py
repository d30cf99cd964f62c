"""A CLIP with a prompter: one pass of the ViT for each image, then vectors of boxes, points, masks and texts in it.

Source: see :mod:`densevl.regions.embedders.prompter`. As in the paper, an image is scaled until its long side fits the
square that the ViT takes, and black is added below or to the right; nothing is cropped, and images of any sizes make
one batch. Scaling is bicubic with antialiasing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings, check_same_model
from densevl.core.geometry import Size, _shrink, fit_square, mask_coverage
from densevl.core.gradients import frozen
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.encoders.contracts import Encoder
from densevl.regions.embedders.embedder import device_of, on_device
from densevl.regions.embedders.prompter import Prompter

__all__ = ["HINTS", "EncodedImages", "PromptableCLIP"]

HINTS = ("box", "mask")
"""The hints that can be taken from a region."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images as the prompter reads them.

    Attributes:
        grid: what the ViT puts out for each patch of the padded images.
        sizes: (height, width) of the images as given.
        model_id: identity of encoder and prompter.
    """

    grid: Float[Tensor, "b c h w"]
    sizes: tuple[Size, ...]
    model_id: str

    def __len__(self) -> int:
        return len(self.sizes)


class PromptableCLIP(nn.Module):
    """A CLIP encoder and a prompter trained on its tokens; texts and whole images are embedded as by the encoder.

    Args:
        encoder: with ``tokens(images)``, such as :class:`densevl.encoders.clip.CLIPEncoder`.
        prompter: of the encoder's width and joint space.
        side: of the padded images in pixels; None for what the prompter was trained on or, where it does not say, the
            encoder.

    Raises:
        UsageError: where the two do not fit together.
    """

    def __init__(self, encoder: Encoder, prompter: Prompter, side: int | None = None) -> None:
        super().__init__()
        if not isinstance(encoder, Encoder):
            raise UsageError(f"a prompter reads the tokens of a CLIP with a ViT; {type(encoder).__name__} has none")
        wanted, found = (encoder.width, encoder.dim), (prompter.settings["width"], prompter.settings["dim"])
        if wanted != found:
            raise UsageError(
                f"the prompter was made for a ViT of width and joint space {found}; {encoder.model_id} has {wanted}"
            )
        self.encoder, self.prompter = encoder, prompter
        self.side: int = side or prompter.settings.get("side") or max(encoder.image_size)
        self.dim, self.patch_size = encoder.dim, encoder.patch_size
        self._named: tuple[Any, str] = (None, "")

    @property
    def model_id(self) -> str:
        """Identity of the encoder and of the prompter's settings and weights."""
        state = self.prompter.state_dict()
        now = [(value.data_ptr(), 0 if value.is_inference() else value._version) for value in state.values()]
        if self._named[0] != now:
            digest = hashlib.sha256(repr(sorted(self.prompter.settings.items())).encode())
            for name, value in state.items():
                digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
            self._named = (now, digest.hexdigest()[:12])
        return f"{self.encoder.model_id}+prompter@{self._named[1]}"

    @property
    def image_size(self) -> Size:
        """(height, width) of the padded images."""
        return self.side, self.side

    @property
    def temperature(self) -> float:
        """The factor of cosines between regions and texts that the prompter was trained with."""
        return float(self.prompter.logit_scale.detach().exp())

    def embed_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float32[Tensor, "q d"]:
        """Texts as the encoder embeds them."""
        return self.encoder.embed_texts(texts, templates)

    def embed_images(self, images: Float[Tensor, "b 3 H W"], mode: str | None = None) -> Float32[Tensor, "b d"]:
        """Whole images as the encoder embeds them."""
        return self.encoder.embed_images(images, mode)

    @frozen
    def encode(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> EncodedImages:
        """One pass of the ViT over images of any sizes."""
        device = device_of(self.encoder)
        pixels = [on_device(torch.from_numpy(image).permute(2, 0, 1), device) for image in images]
        grid = self.encoder.tokens(torch.stack([fit_square(image, self.side) for image in pixels]))
        sizes = tuple((int(image.shape[0]), int(image.shape[1])) for image in images)
        return EncodedImages(grid.to(self.prompter.kinds.dtype), sizes, self.model_id)

    @frozen
    def embed(self, encoded: EncodedImages, regions: Sequence[Regions], hint: str = "box") -> list[RegionEmbeddings]:
        """Embed regions of each image.

        Args:
            encoded: images of this model.
            regions: of each of them, as many as you like or none.
            hint: ``"box"``, or ``"mask"`` to read the tokens in the masks instead.

        Raises:
            UsageError: where images or regions do not belong here, or masks are missing.
        """
        self._check(encoded, regions, hint)
        counts = [len(some) for some in regions]
        if hint == "mask":
            coverage = [self._coverage(some, encoded) for some in regions]
            hints = self.prompter.masks(encoded.grid, _padded(coverage))
        else:
            hints = self.prompter.boxes(_padded([self._scaled(r.boxes, r.size, encoded) for r in regions]))
        return self._cut(self.prompter(encoded.grid, hints), counts)

    @frozen
    def embed_points(self, encoded: EncodedImages, points: Sequence[Float[Tensor, "_ p 2"]]) -> list[RegionEmbeddings]:
        """Embed what one or more points each lie on.

        Args:
            encoded: images of this model.
            points: of each image, (x, y) in pixels of the image as given; p points a hint.

        Raises:
            UsageError: where images do not belong here, or points lie outside of them.
        """
        self._check_encoded(encoded, points)
        for some, (height, width) in zip(points, encoded.sizes, strict=True):
            if not ((some >= 0) & (some <= some.new_tensor([width, height]))).all():
                raise UsageError(f"points must be (x, y) in pixels inside the image of {height}×{width}; got {some}")
        scaled = [self._scaled(some, size, encoded) for some, size in zip(points, encoded.sizes, strict=True)]
        return self._cut(self.prompter(encoded.grid, self.prompter.points(_padded(scaled))), [len(p) for p in points])

    @frozen
    def locate(self, encoded: EncodedImages, texts: Sequence[str] | TextEmbeddings) -> list[Float[Tensor, "q 4"]]:
        """The box that each text means in each image, in pixels of the image as given, half-open and inside.

        The box is found by regression alone: it says where to look, and is not always one of something.

        Raises:
            UsageError: where images or texts were embedded by another model.
        """
        self._check_encoded(encoded, encoded.sizes)
        if isinstance(texts, TextEmbeddings):
            check_same_model(encoded, texts)
            vectors = texts.vectors.to(encoded.grid)
        else:
            vectors = self.embed_texts(texts).to(encoded.grid)
        hints = self.prompter.texts(vectors.expand(len(encoded), -1, -1))
        found = self.prompter.box_head(self.prompter(encoded.grid, hints)).cpu()
        boxes = []
        for box, (height, width) in zip(found * max(self.image_size), encoded.sizes, strict=True):
            ends = torch.stack([box[:, :2], box[:, 2:]]) * _shrink((height, width), self.side)
            limits = ends.new_tensor([width, height])
            low = ends.amin(0).clamp(min=0).minimum(limits - 1)
            boxes.append(torch.cat([low, ends.amax(0).minimum(limits).maximum(low + 1)], dim=1))
        return boxes

    def _scaled(self, values: Float[Tensor, "n ..."], size: Size, encoded: EncodedImages) -> Float[Tensor, "n ..."]:
        """Pairs (x, y) in pixels as fractions of the padded image."""
        pairs = values.unflatten(-1, (-1, 2)) / (_shrink(size, self.side) * self.side).to(values)
        return pairs.flatten(-2).to(encoded.grid)

    def _coverage(self, regions: Regions, encoded: EncodedImages) -> Float[Tensor, "n h w"]:
        masks = regions.masks
        if masks is None or len(masks) == 0:
            return encoded.grid.new_zeros(len(regions), *encoded.grid.shape[2:])
        return mask_coverage(
            masks.to(encoded.grid), self.side, self.patch_size, (encoded.grid.shape[2], encoded.grid.shape[3])
        )

    def _cut(self, vectors: Float[Tensor, "b m d"], counts: Sequence[int]) -> list[RegionEmbeddings]:
        name = self.model_id
        return [RegionEmbeddings(some[:count], name) for some, count in zip(vectors, counts, strict=True)]

    def _check(self, encoded: EncodedImages, regions: Sequence[Regions], hint: str) -> None:
        self._check_encoded(encoded, regions)
        if hint not in HINTS:
            raise UsageError(f"hint must be one of {', '.join(HINTS)}; got {hint!r}")
        for some, size in zip(regions, encoded.sizes, strict=True):
            if some.size != size:
                raise UsageError(f"the regions belong to an image of {some.size}; this one is {size}")
            if hint == "mask" and some.masks is None and len(some):
                raise UsageError("these regions have no masks; make them with a mask maker, or pass hint='box'")

    def _check_encoded(self, encoded: EncodedImages, hints: Sequence[Any]) -> None:
        if encoded.model_id != self.model_id:
            raise UsageError(
                f"the images were encoded by {encoded.model_id!r} and the prompter is of {self.model_id!r}; "
                "encode them with this model"
            )
        if len(hints) != len(encoded):
            raise UsageError(f"give hints for each of the {len(encoded)} images; got {len(hints)} lists of them")


def _padded(values: Sequence[Float[Tensor, "_ ..."]]) -> Float[Tensor, "b m ..."]:
    """Lists of different lengths as one tensor, zeros behind the shorter ones."""
    return nn.utils.rnn.pad_sequence(list(values), batch_first=True)
