"""What tuning makes small; one file a loss."""

from densevl.core.registry import Registry

__all__ = ["LOSSES"]

LOSSES = Registry(
    "loss",
    {
        "cross-entropy": "densevl.training.tuning.losses.cross_entropy:CrossEntropy",
        "info-nce": "densevl.training.tuning.losses.info_nce:InfoNCE",
        "masked-cross-entropy": "densevl.training.tuning.losses.masked_cross_entropy:MaskedCrossEntropy",
        "mod-x": "densevl.training.tuning.losses.mod_x:ModX",
        "vr-lwf": "densevl.training.tuning.losses.vr_lwf:VRLwF",
    },
)
