"""Floating-point operations of labelling one image, counted while it is labelled.

PyTorch's own counter counts matrix products, convolutions and attention by their shapes: 2·m·n·k for a product of m×k
and k×n, as is usual. Normalisations, activations and resizing are left out. Two operators that stand for such products
on a CPU are added, for the counter does not know them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from densevl.api.model import Model
from densevl.core.features import TextEmbeddings
from densevl.core.files import atomic_write
from densevl.core.geometry import Size
from densevl.core.vocabulary import Vocabulary
from densevl.tasks.segmentation.contracts import LabelMaker

__all__ = ["Flops", "count_flops", "some_texts"]


@dataclass(frozen=True)
class Flops:
    """Floating-point operations and parameters of a model.

    Attributes:
        model: its name.
        encoder: identity of the encoder.
        size: (height, width) of the image.
        classes: number of classes.
        parameters: of the segmentor, its text tower included.
        encode: operations from the pixels to dense features, in windows and after resizing as the model does.
        label: operations from dense features to the label of every pixel; the texts are embedded beforehand.
        by_operator: operations of both, by operator.
    """

    model: str
    encoder: str
    size: Size
    classes: int
    parameters: int
    encode: int
    label: int
    by_operator: Mapping[str, int]

    @property
    def total(self) -> int:
        """Operations of the whole path from an image to its label map."""
        return self.encode + self.label

    def save(self, path: str | Path, further: Mapping[str, Any] | None = None) -> None:
        """Write the figures as JSON, and further ones with them."""
        content = {**asdict(self), "total": self.total, **(further or {})}
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        rows = {
            "model": f"{self.model} ({self.encoder})",
            "image": f"{self.size[0]}×{self.size[1]}, {self.classes} classes",
            "parameters": f"{self.parameters / 1e6:.2f} M",
            "encode": f"{self.encode / 1e9:.3f} GFLOPs",
            "label": f"{self.label / 1e9:.3f} GFLOPs",
            "total": f"{self.total / 1e9:.3f} GFLOPs",
        }
        return "\n".join(f"{name:<10}  {value}" for name, value in rows.items())


def count_flops(model: Model, size: Size = (512, 683), classes: int = 150) -> Flops:
    """Label a grey image and count.

    Args:
        model: with a segmentor.
        size: (height, width) of the image.
        classes: number of classes.

    Raises:
        UsageError: where the model makes no label maps.
    """
    segmentor = model.segmentor
    texts = some_texts(segmentor, classes)
    image = np.full((*size, 3), 128, np.uint8)
    with _counter() as encoding:
        (encoded,) = segmentor.encode([image], texts if segmentor.encodes_for_texts else None)
    with _counter() as labelling:
        segmentor.label(encoded, texts)
    both = [mode.get_flop_counts().get("Global", {}) for mode in (encoding, labelling)]
    by_operator = {str(name): sum(part.get(name, 0) for part in both) for part in both for name in part}
    return Flops(
        model.name,
        segmentor.encoder.model_id,
        size,
        classes,
        sum(parameter.numel() for parameter in segmentor.parameters()) if isinstance(segmentor, nn.Module) else 0,
        encoding.get_total_flops(),
        labelling.get_total_flops(),
        by_operator,
    )


def some_texts(segmentor: LabelMaker, classes: int) -> TextEmbeddings:
    """Some unit vector for each class: to embed words is no part of the path of an image."""
    vectors = torch.randn(classes, segmentor.encoder.dim, generator=torch.Generator().manual_seed(0))
    vectors = F.normalize(vectors, dim=1).to(segmentor.device, segmentor.encoder.dtype)
    vocabulary = Vocabulary.from_classes([f"class {index}" for index in range(classes)])
    owners = torch.arange(classes, device=segmentor.device)
    return TextEmbeddings(vectors, owners, vocabulary, segmentor.encoder.model_id, "none")


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping=_products())


def _products() -> dict[Any, Any]:
    """Formulas of the operators of a CPU that stand for matrix products."""
    known: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        known[torch.ops.mkldnn._linear_pointwise] = _linear
    return known


def _attention(queries: Sequence[int], keys: Sequence[int], values: Sequence[int], *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(queries, keys, values))


def _linear(inputs: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:
    return 2 * math.prod(out_shape) * inputs[-1]
