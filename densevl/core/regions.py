"""Regions of one image and their embeddings: what proposals, mask makers, embedders and grounders speak.

Convention: a box is (x0, y0, x1, y1) in pixels of the image as given, half-open: x1 and y1 lie just outside, so that
the box of the whole image is (0, 0, W, H) and its area is (x1 - x0) · (y1 - y0). Sizes are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from densevl.core.errors import UsageError, first_line, shortened
from densevl.core.features import TextVectors, check_same_model
from densevl.core.geometry import Size

__all__ = ["RegionEmbeddings", "Regions", "numbers", "shared_areas"]

FORMS = ("xyxy", "xywh")


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of one image, none or thousands of them.

    ``regions[2]``, ``regions[[3, 1]]``, ``regions[1:4]`` and ``regions[keep]`` with a bool tensor are regions again.

    Attributes:
        boxes: xyxy, half-open, inside the image and not empty.
        size: (height, width) of the image.
        masks: which pixels belong to each region; None where only boxes are known. A mask may be empty, where its
            maker found nothing in the box, and may extend beyond its box.
        scores: how sure the maker of the proposals was, the higher the better; None where it does not say.

    Raises:
        UsageError: where a box is not finite, reversed, empty or outside the image, or lengths or sizes disagree.
    """

    boxes: Float[Tensor, "n 4"]
    size: Size
    masks: Bool[Tensor, "n H W"] | None = None
    scores: Float[Tensor, " n"] | None = None

    def __post_init__(self) -> None:
        _check_boxes(self.boxes, self.size)
        _check_masks(self.masks, len(self.boxes), self.size)
        _check_scores(self.scores, len(self.boxes))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: int | slice | Sequence[int] | Tensor) -> "Regions":
        if isinstance(chosen, int):
            if not -len(self) <= chosen < len(self):
                raise IndexError(f"region {chosen} of {len(self)}")
            chosen = [chosen]
        if isinstance(chosen, Sequence):
            flags = len(chosen) > 0 and all(isinstance(value, bool) for value in chosen)
            chosen = torch.tensor(chosen, dtype=torch.bool if flags else torch.long)
        return replace(
            self,
            boxes=self.boxes[chosen],
            masks=None if self.masks is None else self.masks[chosen],
            scores=None if self.scores is None else self.scores[chosen],
        )

    @property
    def areas(self) -> Float[Tensor, " n"]:
        """Area of each region in pixels: of its mask where there are masks, else of its box."""
        if self.masks is not None:
            return self.masks.flatten(1).sum(1).to(self.boxes.dtype)
        return self.box_areas

    @property
    def box_areas(self) -> Float[Tensor, " n"]:
        """Area of each box in pixels."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).prod(1)

    @property
    def centres(self) -> Float[Tensor, "n 2"]:
        """(x, y) of the centre of each box."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    @property
    def device(self) -> torch.device:
        """The device of the boxes."""
        return self.boxes.device

    def with_masks(self, masks: Bool[Tensor, "_ _ _"] | None) -> "Regions":
        """The same boxes with these masks, "n H W", on the device of the boxes.

        Raises:
            UsageError: where there is not one mask a region, or they have another size than the image.
        """
        _check_masks(masks, len(self), self.size)
        return replace(self, masks=None if masks is None else masks.to(self.device))

    def with_filled_boxes(self) -> "Regions":
        """The same boxes, each with all pixels of the box as its mask; edges are rounded to whole pixels."""
        masks = torch.zeros(len(self), *self.size, dtype=torch.bool, device=self.device)
        for mask, (left, top, right, bottom) in zip(masks, self.boxes.round().long().tolist(), strict=True):
            mask[top:bottom, left:right] = True
        return self.with_masks(masks)

    def with_scores(self, scores: Float[Tensor, "*_"] | None) -> "Regions":
        """The same regions with these scores, on the device of the boxes.

        Raises:
            UsageError: where there is not one score a region.
        """
        _check_scores(scores, len(self))
        return replace(self, scores=None if scores is None else scores.to(self.device))

    def to(self, device: str | torch.device) -> "Regions":
        """The same regions on another device."""
        moved = {
            name: None if value is None else value.to(device)
            for name, value in (("boxes", self.boxes), ("masks", self.masks), ("scores", self.scores))
        }
        return replace(self, **moved)  # type: ignore[arg-type]

    @classmethod
    def from_boxes(
        cls, boxes: Any, size: Size, form: str = "xyxy", clip: bool = True, scores: Any | None = None
    ) -> "Regions":
        """Regions of boxes that are lists, arrays or tensors.

        Args:
            boxes: (n, 4) numbers, or one box (4,), in pixels.
            size: (height, width) of the image.
            form: ``"xyxy"``, or ``"xywh"`` as COCO writes boxes: corner, width and height.
            clip: cut boxes that extend beyond the image; without it they are an error. A box that lies outside
                altogether is an error in both cases.
            scores: of the boxes, where they have some.

        Raises:
            UsageError: as the class, and where the form is unknown or the boxes are not numbers (n, 4).
        """
        if form not in FORMS:
            raise UsageError(f"form must be `xyxy` or `xywh`; got {form!r}")
        array = numbers(boxes, "boxes")
        array = array.reshape(-1, 4) if array.ndim and len(array) == 0 else array
        array = array[None] if array.shape == (4,) else array
        if array.ndim != 2 or array.shape[1] != 4:
            raise UsageError(f"boxes must have shape (n, 4); got {tuple(array.shape)}")
        if form == "xywh":
            array = torch.cat([array[:, :2], array[:, :2] + array[:, 2:]], dim=1)
        else:
            _check_order(array)
        if clip:
            height, width = size
            limits = array.new_tensor([width, height, width, height])
            array = torch.where(array.isfinite(), array.clamp(min=0).minimum(limits), array)
        return cls(array, size).with_scores(None if scores is None else numbers(scores, "scores"))

    @classmethod
    def from_masks(cls, masks: Any, scores: Any | None = None) -> "Regions":
        """Regions of masks, each with the smallest box that holds it.

        Args:
            masks: "n H W", bool, or numbers of which those above 0 belong to the region.
            scores: of the masks, where they have some.

        Raises:
            UsageError: where the masks have another layout, or one is empty and so has no box.
        """
        try:
            masks = torch.as_tensor(masks)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"masks must be bool or numbers (n, H, W); got {shortened(repr(masks), 80)}") from error
        if masks.ndim != 3:
            raise UsageError(f"masks must have shape (n, H, W); got {tuple(masks.shape)}")
        masks = masks if masks.dtype == torch.bool else masks > 0
        count, height, width = masks.shape
        if count == 0:
            return cls(torch.zeros(0, 4, device=masks.device), (height, width), masks)
        rows, columns = masks.any(2), masks.any(1)
        empty = (~rows.any(1)).nonzero().flatten().tolist()
        if empty:
            raise UsageError(f"mask {empty[0]} is empty, so it has no box; leave it out ({len(empty)} of {count} are)")
        ends = [columns.byte().argmax(1), rows.byte().argmax(1)]
        ends += [width - columns.flip(1).byte().argmax(1), height - rows.flip(1).byte().argmax(1)]
        boxes = torch.stack(ends, dim=1).float()
        return cls(boxes, (height, width), masks).with_scores(None if scores is None else numbers(scores, "scores"))

    @classmethod
    def whole(cls, size: Size) -> "Regions":
        """The whole image as one region."""
        return cls(torch.tensor([[0.0, 0.0, size[1], size[0]]]), size)


@dataclass(frozen=True, eq=False)
class RegionEmbeddings:
    """Regions as unit vectors in the joint image-text space.

    Attributes:
        vectors: one unit vector a region.
        model_id: identity of the encoder and its weights; compare only with texts of the same.
        parts: unit vectors by visual prompt, where a region was embedded with several.
        weights: weight of each part; 1 where it is not named.
    """

    vectors: Float[Tensor, "n d"]
    model_id: str
    parts: Mapping[str, Float[Tensor, "n d"]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_parts(
        cls, parts: Mapping[str, Float[Tensor, "n d"]], model_id: str, weights: Mapping[str, float] | None = None
    ) -> "RegionEmbeddings":
        """Several unit vectors a region as one: ``vectors`` has the direction of their weighted sum."""
        weights = weights or {}
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum(0)
        return cls(F.normalize(total, dim=1), model_id, dict(parts), dict(weights))

    @classmethod
    def cat(cls, groups: Sequence["RegionEmbeddings"]) -> "RegionEmbeddings":
        """Vectors of groups of regions of one space, one group after the other.

        Args:
            groups: one or more.
        """
        first = groups[0]
        parts = {name: torch.cat([group.parts[name] for group in groups]) for name in first.parts}
        return replace(first, vectors=torch.cat([group.vectors for group in groups]), parts=parts)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, chosen: slice | Sequence[int] | Tensor) -> "RegionEmbeddings":
        parts = {name: part[chosen] for name, part in self.parts.items()}
        return replace(self, vectors=self.vectors[chosen], parts=parts)

    def cosines(self, texts: Float[Tensor, "q d"] | TextVectors) -> Float[Tensor, "n q"]:
        """Cosine of each region with each text; with parts, the weighted sum of the cosines of each of them.

        Args:
            texts: embedded by the same model; bare unit vectors do not say by which, so that nothing is checked.

        Raises:
            UsageError: where another model embedded the texts.
        """
        if isinstance(texts, TextVectors):
            check_same_model(self, texts)
            texts = texts.vectors
        if not self.parts:
            return self.vectors @ texts.to(self.vectors).mT
        weighted = [self.weights.get(name, 1.0) * part for name, part in self.parts.items()]
        return torch.stack(weighted).sum(0) @ texts.to(self.vectors).mT


def shared_areas(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Area of the intersection of each box with each of the others; boxes are xyxy."""
    low, high = torch.maximum(boxes[:, None, :2], others[:, :2]), torch.minimum(boxes[:, None, 2:], others[:, 2:])
    return (high - low).clamp(min=0).prod(2)


def numbers(values: Any, name: str) -> Tensor:
    """Values that a user gave, in float32.

    Raises:
        UsageError: where they are no numbers.
    """
    try:
        return torch.as_tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        got = shortened(repr(values), 80)
        raise UsageError(f"{name} must be numbers; got {got} ({first_line(error)})") from None


def _check_order(boxes: Tensor) -> None:
    """Reversed corners, said before clipping changes the numbers."""
    wrong = (boxes[:, 2:] < boxes[:, :2]).any(1).nonzero().flatten().tolist()
    if wrong:
        raise UsageError(
            f"box {wrong[0]} is reversed: {_written(boxes[wrong[0]])} ends before it begins; "
            "if these are corner, width and height, pass form='xywh'"
        )


def _check_boxes(boxes: Tensor, size: Size) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UsageError(f"boxes must have shape (n, 4); got {tuple(boxes.shape)}")
    if len(size) != 2 or min(size) < 1:
        raise UsageError(f"size must be (height, width) of the image; got {size}")
    if len(boxes) == 0:
        return
    _check_order(boxes)
    height, width = size
    inside = boxes.new_tensor([width, height, width, height])
    for reason, wrong in (
        ("is not finite", ~boxes.isfinite()),
        ("is empty, or lies outside the image", boxes[:, 2:] <= boxes[:, :2]),
        ("reaches out of the image", (boxes < 0) | (boxes > inside)),
    ):
        found = wrong.any(1).nonzero().flatten().tolist()
        if found:
            hint = "; if boxes may be cut, take Regions.from_boxes" if "reaches" in reason else ""
            raise UsageError(
                f"box {found[0]} {reason}: {_written(boxes[found[0]])} in an image of {height}×{width}; "
                f"expected x0 < x1 <= {width} and y0 < y1 <= {height} ({len(found)} of {len(boxes)} boxes){hint}"
            )
    if (boxes <= 1).all() and (boxes != boxes.round()).any():
        raise UsageError(f"boxes must be in pixels; {_written(boxes[0])} looks relative to the image, so multiply it")


def _check_masks(masks: Tensor | None, count: int, size: Size) -> None:
    if masks is None:
        return
    if masks.dtype != torch.bool:
        raise UsageError(f"masks must be bool; got {masks.dtype}; compare them with a threshold")
    if masks.shape != (count, *size):
        raise UsageError(
            f"masks must have shape {(count, *size)}: one a region, of the image's size; got {tuple(masks.shape)}"
        )


def _check_scores(scores: Tensor | None, count: int) -> None:
    if scores is not None and scores.shape != (count,):
        raise UsageError(f"expected one score a region, {count}; got {tuple(scores.shape)}")


def _written(box: Tensor) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box.tolist()) + ")"
