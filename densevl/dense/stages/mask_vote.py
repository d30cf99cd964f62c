"""Mask vote: every region of an image takes the label that most of its pixels have.

Source: what follows CorrCLIP (Zhang et al., ICCV 2025, https://arxiv.org/abs/2411.10086); LPOSS and others report the
same step. Pixels of no region keep their labels; of labels that tie, the lowest wins. Where we differ: the published
code lets the region of the smallest number not vote, whatever it is; here every region votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.operations.clusters import majority
from densevl.dense.operations.regions import on_cells, stitch
from densevl.encoders.contracts import Needs, Window

__all__ = ["MaskVote"]


@dataclass(frozen=True)
class MaskVote:
    """The vote as a stage of a segmentor that has a mask maker, behind any readout."""

    on_labels = True
    needs = Needs(regions=True)
    name = "mask-vote"

    def __call__(
        self, labels: Int[Tensor, "H W"], features: DenseFeatures, windows: Sequence[Window]
    ) -> Int[Tensor, "H W"]:
        """Labels of whole regions.

        Args:
            labels: of the image as given.
            features: of its windows, with their regions.
            windows: their boxes in the resized image.

        Raises:
            UsageError: where the features have no regions.
        """
        if features.regions is None:
            raise UsageError("mask-vote reads the regions of the image; give its model a mask_maker, such as sam")
        whole = stitch(features.regions, windows)
        return majority(labels, on_cells(whole[None], (labels.shape[0], labels.shape[1]))[0].to(labels.device))
