"""The probability of every class as an array of NumPy, for those who decide themselves."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16
from torch import Tensor

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.errors import ImageError, UsageError
from densevl.core.files import atomic_write

__all__ = ["CELL", "ProbabilitiesFormat", "check_probabilities", "of_cells"]

CELL = 8
"""Side of a cell in pixels of the image as given; in full size the classes of ADE20K would take 100 MB an image."""

MOST_BYTES = 4 * 2**30
"""Bytes of the probabilities of an image at all of its pixels, from which those of the cells are made."""


class ProbabilitiesFormat(Format):
    """``NAME.probabilities.npz``: probabilities of the classes, the mean over cells of 8×8 pixels.

    ``probabilities`` is float16, "k h w"; those of a cell sum to 1 as far as the model's do. ``classes`` are the names,
    ``size`` is (height, width) of the image, ``cell`` the side of a cell. Cells begin at the upper left corner; the
    last row and column may be of fewer pixels. They are made as an image is labelled, and not of its record.
    """

    of_segments = False
    of_probabilities = True

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The array."""
        return (f"{record.name}.probabilities.npz",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the probabilities.

        Raises:
            UsageError: where the image was labelled before without them.
        """
        if record.probabilities is None:
            raise UsageError("probabilities are made as an image is labelled; segment it again, with --overwrite")
        names, size = np.array(record.vocabulary.names), np.array(record.size)
        with atomic_write(out / self.files(record)[0]) as temporary:
            np.savez_compressed(temporary, probabilities=record.probabilities, classes=names, size=size, cell=CELL)


def check_probabilities(classes: int, height: int, width: int) -> None:
    """Refuse an image whose probabilities do not fit into memory.

    Raises:
        ImageError: where they do not.
    """
    size = 4 * classes * height * width
    if size > MOST_BYTES:
        raise ImageError(
            f"the probabilities of {classes} classes at {height}×{width} pixels take {size / 2**30:.0f} GiB; scale the "
            "image down, or name fewer classes"
        )


def of_cells(scores: Float[Tensor, "k H W"]) -> Float16[np.ndarray, "k h w"]:
    """The mean over the pixels of each cell."""
    means = F.avg_pool2d(scores.float()[None], CELL, ceil_mode=True, count_include_pad=False)[0]
    return means.to(torch.float16).cpu().numpy()
