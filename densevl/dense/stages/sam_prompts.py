"""SAM prompts: what a label map shows of each class asks SAM for a mask, which the class then keeps to.

Source: the last step of Trident (Shi et al., ICCV 2025, https://arxiv.org/abs/2411.09219). Of every class but the
background, the connected pieces of the pixels that it wins, of ``area`` pixels or more, are SAM prompts: the box of the
piece, its pixel of the highest probability p°, and the map of probabilities times ``mask_factor`` as a mask. Where SAM
rates its mask above ``iou``, its logits m take the place of the piece. With p_c the probability of class c at a pixel,
0 where a piece of it was replaced, and M the highest sigmoid(m) of all masks there::

    p'_c = max((1 − M) p_c, sigmoid(m) p° of each mask of the class)

This is written from the description; it is not checked against the published outputs. Probabilities are those of the
image as given, which SAM sees, too.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.encoders.contracts import Needs
from densevl.encoders.sam.image import encode_image
from densevl.encoders.sam.model import open_sam

__all__ = ["SamPrompts", "pieces"]

AT_ONCE = 16
"""Prompts that the decoder takes together."""


class SamPrompts(nn.Module):
    """SAM's masks of the classes of an image, as a stage of a segmentor.

    Args:
        weights: of SAM, as :func:`densevl.encoders.sam.model.open_sam` takes them.
        coarse: least probability of the pixels of a piece.
        area: least pixels of a piece that asks for a mask.
        iou: SAM's rating above which its mask is taken.
        mask_factor: of the probabilities as a mask; None for box and point alone, as for the mini SAM, which was not
            trained with masks.
        offline: never reach for the network.

    Raises:
        UsageError: where a setting is out of range.
    """

    on_pixels = True
    acts_on = "probabilities"
    needs = Needs(texts=True)

    def __init__(
        self,
        weights: str = "sam-vit-b",
        coarse: float = 0.1,
        area: int = 225,
        iou: float = 0.9,
        mask_factor: float | None = 0.005,
        offline: bool = False,
    ) -> None:
        super().__init__()
        if not (0 <= coarse < 1 and area >= 1):
            raise UsageError(f"sam-prompts takes coarse from 0 up to 1 and an area of 1 or more; got {coarse}, {area}")
        opened = open_sam(weights, offline=offline)
        self.model: Any = opened.model.eval().requires_grad_(False)
        self.model_id = opened.model_id
        self.coarse, self.area, self.iou, self.mask_factor = coarse, area, iou, mask_factor

    @property
    def name(self) -> str:
        """Its weights and settings."""
        settings = f"coarse={self.coarse}, area={self.area}, iou={self.iou}, mask_factor={self.mask_factor}"
        return f"sam-prompts({self.model_id}, {settings})"

    @torch.no_grad()
    def forward(
        self, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"], texts: TextEmbeddings | None = None
    ) -> Float[Tensor, "k H W"]:
        """Probabilities that keep to SAM's masks.

        Args:
            scores: probability of each class.
            image: of the same size, RGB in [0, 1].
            texts: the vocabulary, which tells the background class.
        """
        background = None if texts is None else texts.vocabulary.background
        best, winner = scores.max(dim=0)
        asked: list[tuple[int, Bool[Tensor, "H W"]]] = []
        for index in winner.unique().tolist():
            if index != background:
                found = pieces((winner == index) & (best >= self.coarse), self.area)
                asked += [(index, piece) for piece in found]
        if not asked:
            return scores
        stayed, masked = scores.clone(), torch.zeros_like(scores)
        highest = torch.zeros_like(best)
        for (index, piece), logits, rating in self._masks(image, scores, asked):
            if rating > self.iou:
                mask = logits.sigmoid().to(scores)
                masked[index] = torch.maximum(masked[index], mask * scores[index][piece].max())
                highest = torch.maximum(highest, mask)
                stayed[index][piece] = 0
        return torch.maximum((1 - highest) * stayed, masked)

    def _masks(
        self, image: Float[Tensor, "3 H W"], scores: Float[Tensor, "k H W"], asked: list[tuple[int, Tensor]]
    ) -> Iterator[tuple[tuple[int, Tensor], Float[Tensor, "H W"], float]]:
        """SAM's logits and rating of each piece."""
        model, size = self.model, (image.shape[1], image.shape[2])
        side = model.image_encoder.img_size
        scale = side / max(size)
        height, width = (max(1, round(length * scale)) for length in size)
        resized = F.interpolate(
            image[None].float() * 255, (height, width), mode="bilinear", align_corners=False, antialias=True
        )
        dtype = next(model.image_encoder.parameters()).dtype
        seen = encode_image(model.image_encoder, model.preprocess(resized).to(dtype)).float()
        across = torch.tensor([width / size[1], height / size[0]], device=image.device)
        for start in range(0, len(asked), AT_ONCE):
            some = asked[start : start + AT_ONCE]
            boxes = torch.stack([_box(piece) for _, piece in some]) * across.repeat(2)
            points = torch.stack([_peak(scores[index], piece) for index, piece in some]) * across
            given = None if self.mask_factor is None else self._mask_prompts(scores, some, (height, width))
            ones = torch.ones(len(some), 1, dtype=torch.long, device=image.device)
            sparse, dense = model.prompt_encoder(points=(points[:, None], ones), boxes=boxes, masks=given)
            masks, ratings = model.mask_decoder(
                image_embeddings=seen,
                image_pe=model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            logits = model.postprocess_masks(masks, (height, width), size)[:, 0] - model.mask_threshold
            yield from zip(some, logits, ratings[:, 0].tolist(), strict=True)

    def _mask_prompts(
        self, scores: Float[Tensor, "k H W"], some: list[tuple[int, Tensor]], seen: tuple[int, int]
    ) -> Float[Tensor, "n 1 m m"]:
        """The probabilities of each piece's class as SAM takes masks: on a small square, with its padding."""
        rows, columns = self.model.prompt_encoder.mask_input_size
        part = rows / self.model.image_encoder.img_size
        height, width = (max(1, round(length * part)) for length in seen)
        values = torch.stack([scores[index] for index, _ in some])[:, None].float() * (self.mask_factor or 0.0)
        small = F.interpolate(values, (height, width), mode="bilinear", align_corners=False)
        return F.pad(small, (0, columns - width, 0, rows - height))


def pieces(mask: Bool[Tensor, "H W"], area: int) -> list[Bool[Tensor, "H W"]]:
    """The connected pieces of a mask, diagonal neighbours included, that have an area.

    Args:
        mask: at the pixels.
        area: least pixels of a piece.
    """
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(mask.cpu().numpy().astype(np.uint8), connectivity=8)
    found = torch.from_numpy(numbers).to(mask.device)
    return [found == kind for kind in range(1, len(facts)) if facts[kind, cv2.CC_STAT_AREA] >= area]


def _box(piece: Bool[Tensor, "H W"]) -> Float[Tensor, " 4"]:
    rows, columns = piece.any(1).nonzero()[:, 0], piece.any(0).nonzero()[:, 0]
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def _peak(scores: Float[Tensor, "H W"], piece: Bool[Tensor, "H W"]) -> Float[Tensor, " 2"]:
    """The place (x, y) of the highest score of a piece."""
    place = torch.where(piece, scores, -torch.inf).argmax()
    return torch.stack([place % piece.shape[1], place // piece.shape[1]]).float()
