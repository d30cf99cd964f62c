"""Vectors of sequences by a model: its dense features, and what in each frame is a thing."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.pooling import natural_grid, pool_cells
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.sequences.describing import SETTINGS, describe
from densevl.tasks.sequences.things import FrameThings, apart, pieces, things_of

__all__ = ["SequenceEncoder"]

TOGETHER = 8
"""Frames that are encoded at once."""

Image = UInt8[np.ndarray, "_ _ 3"]


class SequenceEncoder:
    """From the frames of a sequence to its vector.

    Args:
        segmentor: encodes the frames; where a refiner of it finds foreground, the pieces of this are the things.
        mask_maker: else its proposals are.

    Raises:
        UsageError: where neither says what a thing is.
    """

    def __init__(self, segmentor: Segmentor, mask_maker: MaskMaker | None = None) -> None:
        self.segmentor, self.mask_maker = segmentor, mask_maker
        if not segmentor.dense.finds_foreground and mask_maker is None:
            raise UsageError(
                "this model tells no things from what they stand on; take one with DINOiser's heads, such as dinoiser, "
                'or give it a mask maker, such as mask_maker="sam-vit-b"'
            )

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.segmentor.encoder.model_id

    @property
    def space(self) -> str:
        """The name of the vectors, with every setting, for classifiers that are made of examples."""
        found = self.segmentor.dense.finds_foreground or self.mask_maker is None
        things = "foreground" if found else self.mask_maker.model_id  # type: ignore[union-attr]
        settings = {
            **SETTINGS,
            **{name: value for name, value in self.segmentor.view.items() if name != "encoder"},
            "features": self.segmentor.space,
            "things": things,
        }
        return f"sequences: {json.dumps(settings, sort_keys=True)}"

    def encode(self, frames: Iterable[Image]) -> Float[Tensor, " d"]:
        """The unit vector of a sequence, of one frame or more, which may differ in size.

        Args:
            frames: RGB, in their order; a few are held at a time.

        Raises:
            UsageError: where there is no frame.
        """
        return describe(list(self.things(frames)))

    @torch.inference_mode()
    def things(self, frames: Iterable[Image]) -> Iterator[FrameThings]:
        """The things of each frame.

        Args:
            frames: RGB.
        """
        remaining = iter(frames)
        while batch := list(islice(remaining, TOGETHER)):
            yield from (
                self._of_frame(image, encoded) for image, encoded in zip(batch, self._encoded(batch), strict=True)
            )

    def _encoded(self, images: Sequence[Image]) -> list[EncodedImage]:
        return self.segmentor.encode(list(images))

    def _of_frame(self, image: Image, encoded: EncodedImage) -> FrameThings:
        cells = natural_grid(encoded)
        features = encoded.features
        grid = pool_cells(encoded, F.normalize(features.grid.float(), dim=1), cells)
        if features.foreground is not None:
            return things_of(pieces(pool_cells(encoded, features.foreground.float()[:, None], cells)[0]), grid)
        assert self.mask_maker is not None
        return things_of(_on_cells(apart(self.mask_maker.everything(image)), cells), grid)


def _on_cells(masks: Bool[np.ndarray, "n H W"], cells: Size) -> Bool[np.ndarray, "m h w"]:
    """The cells that each mask covers by half or more; masks that cover none by so much are left out."""
    if not len(masks):
        return np.zeros((0, *cells), bool)
    covered = F.adaptive_avg_pool2d(torch.from_numpy(masks)[:, None].float(), cells)[:, 0] >= 0.5
    return covered[covered.flatten(1).any(1)].numpy()
