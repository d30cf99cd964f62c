"""Regions embedded by marking each on the image and embedding the marked image, as CLIP embeds any image.

Source: Yang et al., Fine-Grained Visual Prompting, NeurIPS 2023, https://arxiv.org/abs/2306.04356, commit 80b067b. A
region's score is the sum over the visual prompts of scale · cos(marked image, text), so the unit vectors of each visual
prompt are kept. Where we differ: any weights; crops and whole images are shrunk with antialiasing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.core.gradients import frozen
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.encoders.contracts import Encoder
from densevl.regions.embedders.embedder import RegionEmbedder, device_of, on_device
from densevl.regions.visual_prompts import Style, VisualPrompt, canvas, marked_by_each, visual_prompt

__all__ = ["MarkedImages"]

PIXELS_AT_ONCE = 2**19
"""Pixels that a ResNet embeds at once on a processor: with more, each of its first layers asks the system for hundreds
of megabytes of fresh memory, which costs time and saves none. The vectors are the same."""


class MarkedImages(nn.Module, RegionEmbedder):
    """Marks every region with every visual prompt and embeds the marked images.

    Args:
        encoder: embeds images and texts; built, or a config.
        visual_prompts: names, see :data:`densevl.regions.visual_prompts.VISUAL_PROMPTS`.
        weights: of the visual prompts in the sum of their cosines; None for 1 each.
        style: how they look, a :class:`densevl.regions.visual_prompts.Style` or its arguments.
        size: short side that images are brought to before they are drawn on; None for the encoder's.
        batch: marked images that are embedded at once; a ResNet takes fewer on a processor.
        mode: what becomes of marked images that have another size than the encoder's: ``"squash"`` brings them to it;
            ``"keep"`` embeds them as they are, which takes whole patches of a vision transformer.

    Raises:
        UsageError: where a visual prompt or a colour is unknown, or the weights are not one for each.
    """

    def __init__(
        self,
        encoder: WholeImageEncoder | Encoder | Mapping[str, Any],
        visual_prompts: Sequence[str | VisualPrompt] = ("crop", "blur_mask"),
        weights: Sequence[int | float] | None = None,
        style: Style | dict[str, Any] | None = None,
        size: int | None = None,
        batch: int = 32,
        mode: str = "squash",
    ) -> None:
        super().__init__()
        if isinstance(visual_prompts, str):
            visual_prompts = [visual_prompts]
        self.visual_prompts = tuple(visual_prompt(name) for name in visual_prompts)
        names = [prompt.name for prompt in self.visual_prompts]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"give one visual prompt or several different ones; got {', '.join(names) or 'none'}")
        if weights is not None and len(weights) != len(names):
            raise UsageError(f"expected one weight for each of {', '.join(names)}; got {list(weights)}")
        if batch < 1:
            raise UsageError(f"batch must be at least 1; got {batch}")
        self.encoder = build(ENCODERS, encoder)
        self.weights = dict(zip(names, map(float, weights or [1] * len(names)), strict=True))
        self.style = style if isinstance(style, Style) else _style(style or {})
        self.size = min(self.encoder.image_size) if size is None else size
        self.batch, self.mode = batch, mode

    @property
    def needs_masks(self) -> bool:
        """True where boxes alone are not enough."""
        return any(prompt.needs_masks for prompt in self.visual_prompts)

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        return {
            "type": "marked-images",
            "encoder": self.encoder.model_id,
            "visual_prompts": self.weights,
            "style": asdict(self.style),
            "size": self.size,
            **({} if self.mode == "squash" else {"mode": self.mode}),
        }

    @frozen
    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed the regions of an image.

        Raises:
            UsageError: where the regions are of another image, or masks are missing.
        """
        place = torch.device("cpu") if self.style.compatible else device_of(self.encoder)
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        surface = canvas(pixels if place.type == "cpu" else on_device(pixels, place), self.size, self.style)
        vectors: dict[str, list[Tensor]] = {prompt.name: [] for prompt in self.visual_prompts}
        total = len(regions) * len(self.visual_prompts)
        with tqdm(total=total, desc="regions", delay=2, leave=False, disable=None) as progress:
            for prompt, marked in marked_by_each(surface, regions, self.visual_prompts, self._at_once()):
                vectors[prompt.name].append(self._embed(marked))
                progress.update(len(marked))
        parts = {name: torch.cat(found) for name, found in vectors.items()}
        return RegionEmbeddings.of_parts(parts, self.encoder.model_id, self.weights)

    def _at_once(self) -> int:
        vit = isinstance(self.encoder, CLIPEncoder) and self.encoder.depth > 1  # a ResNet has one block, which pools
        if vit or device_of(self.encoder).type != "cpu":
            return self.batch
        height, width = self.encoder.image_size
        return min(self.batch, max(1, PIXELS_AT_ONCE // (height * width)))

    def _embed(self, marked: Shaped[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        if len(marked) == 0:  # the width of the space, which one vector shows
            return self._embed(marked.new_zeros(1, *marked.shape[1:]))[:0]
        return self.encoder.embed_images(on_device(marked, device_of(self.encoder)), mode=self.mode)


def _style(settings: dict[str, Any]) -> Style:
    try:
        return Style(**settings)
    except TypeError as error:
        raise UsageError(f"style: {error}") from None
