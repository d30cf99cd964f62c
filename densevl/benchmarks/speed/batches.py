"""Images per second of whole batches, and how much of the device's matrix rate the image encoder reaches.

The work of the encoder is counted from its shape (multiply and add as two): a block of n tokens of width c takes
``2 n (4 c² + 2 c m) + 4 n² c`` with m the width of its feed-forward layers. The matrix rate is measured on this device:
one product of large square matrices in the same dtype, repeated. What is missing to it goes into memory traffic (norms,
residuals, activations), attention and whatever is not the encoder; on small batches, into starting kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from densevl.benchmarks.speed.cost import measure
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.transfers import download
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["BatchFigures", "encoder_operations", "matrix_rate", "throughput"]


@dataclass(frozen=True)
class BatchFigures:
    """Figures of one batch size: medians over repetitions.

    Attributes:
        batch: images that are encoded together.
        encode: seconds in which the batch is encoded.
        label: seconds in which it is labelled, and its labels come to the CPU.
        mebibytes: in use at the peak, weights included, on the GPU or by this process.
        utilisation: fraction of the measured matrix rate that encoding reaches.
    """

    batch: int
    encode: float
    label: float
    mebibytes: float
    utilisation: float

    @property
    def images_per_second(self) -> float:
        """From pixels to labels, without files."""
        return self.batch / (self.encode + self.label)


def throughput(
    segmentor: Segmentor,
    texts: TextEmbeddings,
    image: UInt8[np.ndarray, "H W 3"],
    batches: Sequence[int] = (1, 4, 16),
    repetitions: int = 5,
) -> list[BatchFigures]:
    """Measure batches of copies of one image from pixels to labels on the CPU; the first that does not fit ends them.

    They are what a run does: as many windows go through the encoder together as fit, and labels come back together.

    Args:
        segmentor: what is measured, on its device and in its dtype.
        texts: the classes, embedded by the segmentor.
        image: a batch holds copies of it.
        batches: numbers of images.
        repetitions: of each measurement; one more comes first and is not counted.

    Raises:
        UsageError: where a batch is below 1.
    """
    if min(batches, default=0) < 1:
        raise UsageError(f"batches are numbers of images above 0; got {list(batches)}")
    device, held, figures = segmentor.device, {}, []  # type: Any, dict[str, Any], list[BatchFigures]
    rate = matrix_rate(device, next(segmentor.parameters()).dtype)
    windows = len(segmentor.encode([image])[0].plan)
    for batch in batches:
        images = [image] * batch
        work = {
            "encode": lambda: held.update(encoded=segmentor.encode(images)),  # noqa: B023
            "label": lambda: download([value for one in held["encoded"] for value in segmentor.label(one, texts)]),
        }
        try:
            costs = measure(work, repetitions, device)
        except torch.OutOfMemoryError:
            break
        encode, label = (costs[name].median for name in work)
        peak = max(value for cost in costs.values() for value in cost.peak) / 2**20
        first = held["encoded"][0]
        rows, columns = first.plan.grid(segmentor.encoder.patch_size)
        operations = batch * windows * encoder_operations(segmentor.encoder, rows * columns + 1)
        figures.append(BatchFigures(batch, encode, label, peak, operations / encode / rate))
    return figures


def encoder_operations(encoder: Any, tokens: int) -> int:
    """Floating-point operations of the image tower for one window, its last block read by its value path."""
    width = encoder.width
    *blocks, last = encoder.model.visual.transformer.resblocks
    hidden = [block.mlp.c_fc.out_features for block in (*blocks, last)]
    whole = sum(2 * tokens * (4 * width**2 + 2 * width * wide) + 4 * tokens**2 * width for wide in hidden[:-1])
    return int(whole + 2 * tokens * (2 * width**2 + 2 * width * hidden[-1]))


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int | None = None) -> float:
    """Floating-point operations a second of the product of two square matrices, at its best of several.

    Args:
        device: where.
        dtype: of the matrices.
        side: of the matrices; 8192 on a GPU, 1024 elsewhere.
    """
    side = side or (8192 if device.type == "cuda" else 1024)
    a, b = torch.ones(2, side, side, device=device, dtype=dtype)
    return 2 * side**3 / measure({"product": lambda: a @ b}, 10, device)["product"].best
