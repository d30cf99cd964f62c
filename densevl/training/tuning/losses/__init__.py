"""What tuning makes small; one file a loss."""

from densevl.core.registry import Registry

__all__ = ["LOSSES"]

LOSSES = Registry(
    "loss",
    {
        "cross-entropy": "densevl.training.tuning.losses.cross_entropy:CrossEntropy",
        "description-mean": "densevl.training.tuning.losses.description_mean:DescriptionMean",
        "description-teacher": "densevl.training.tuning.losses.description_teacher:DescriptionTeacher",
        "expert-prototypes": "densevl.training.tuning.losses.expert_prototypes:ExpertPrototypes",
        "gate": "densevl.training.tuning.losses.gate:Gate",
        "info-nce": "densevl.training.tuning.losses.info_nce:InfoNCE",
        "masked-cross-entropy": "densevl.training.tuning.losses.masked_cross_entropy:MaskedCrossEntropy",
        "mod-x": "densevl.training.tuning.losses.mod_x:ModX",
        "view-contrast": "densevl.training.tuning.losses.view_contrast:ViewContrast",
        "view-texts": "densevl.training.tuning.losses.view_texts:ViewTexts",
        "vr-lwf": "densevl.training.tuning.losses.vr_lwf:VRLwF",
    },
)
