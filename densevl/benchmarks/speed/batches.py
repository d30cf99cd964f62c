"""Images per second of whole batches, and how much of the device's matrix rate the image encoder reaches.

The work of the encoder is counted from its shape (multiply and add as two): a block of n tokens of width c takes
``2 n (4 c² + 2 c m) + 4 n² c`` with m the width of its feed-forward part. The matrix rate is measured on this device:
one product of large square matrices in the same dtype, repeated. What is missing to it goes into memory traffic (norms,
residuals, activations), attention and whatever is not the encoder; on small batches, into starting kernels.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["BatchFigures", "encoder_operations", "matrix_rate", "throughput"]


@dataclass(frozen=True)
class BatchFigures:
    """What was measured of one batch size: medians over repetitions.

    Attributes:
        batch: images that are encoded together.
        encode: seconds of the batch.
        label: likewise.
        mebibytes: of the device at the peak, weights included; NaN on a CPU.
        share: of the measured matrix rate, while encoding.
    """

    batch: int
    encode: float
    label: float
    mebibytes: float
    share: float

    @property
    def images_per_second(self) -> float:
        """From pixels to labels, without files."""
        return self.batch / (self.encode + self.label)

    def __str__(self) -> str:
        return (
            f"batch {self.batch:4}: {self.images_per_second:9.2f} images/s, "
            f"encode {1e3 * self.encode / self.batch:8.2f} ms and label {1e3 * self.label / self.batch:7.2f} ms an "
            f"image, {self.mebibytes:7.0f} MiB, {self.share:6.1%} of the matrix rate"
        )


def throughput(
    segmentor: Segmentor,
    texts: TextEmbeddings,
    image: UInt8[np.ndarray, "H W 3"],
    batches: Sequence[int] = (1, 4, 16),
    repetitions: int = 5,
) -> list[BatchFigures]:
    """Measure batches of copies of one image, encoded together and labelled one after another.

    Args:
        segmentor: on its device, in its dtype.
        texts: embedded by it.
        image: any.
        batches: numbers of images.
        repetitions: after one that warms up.

    Raises:
        UsageError: where a batch is below 1.
    """
    if min(batches, default=0) < 1:
        raise UsageError(f"batches are numbers of images above 0; got {list(batches)}")
    device, window_batch = segmentor.device, segmentor.window_batch
    rate = matrix_rate(device, next(segmentor.parameters()).dtype)
    figures = []
    try:
        for batch in batches:
            images, windows = [image] * batch, len(segmentor.encode([image])[0].plan)
            segmentor.window_batch = batch * windows
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            encode, encoded = _seconds(lambda: segmentor.encode(images), device, repetitions)  # noqa: B023
            label, _ = _seconds(lambda: [segmentor.label(one, texts) for one in encoded], device, repetitions)  # noqa: B023
            peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else float("nan")
            rows, columns = encoded[0].plan.grid(encoded[0].features.patch_size)
            work = batch * windows * encoder_operations(segmentor.encoder, rows * columns + 1)
            figures.append(BatchFigures(batch, encode, label, peak, work / encode / rate))
    finally:
        segmentor.window_batch = window_batch
    return figures


def encoder_operations(encoder: Any, tokens: int) -> int:
    """Floating-point operations of the image tower for one window, its last block read by its value path."""
    width = encoder.width
    *blocks, last = encoder.image.blocks
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
    return 2 * side**3 / min(_seconds(lambda: a @ b, device, 1)[0] for _ in range(10))


def _seconds(work: Callable[[], Any], device: torch.device, repetitions: int) -> tuple[float, Any]:
    """Median time of some work after it was done once, and what it gives."""
    measured, result = [], work()
    for _ in range(repetitions):
        _wait(device)
        start = time.perf_counter()
        result = work()
        _wait(device)
        measured.append(time.perf_counter() - start)
    return float(np.median(measured)), result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
