"""Ways to smooth class scores, on the patch grid or at the pixels; one file a method."""

from densevl.core.registry import Registry

__all__ = ["STAGES"]

STAGES = Registry(
    "stage",
    {
        "alias-weights": "densevl.dense.stages.aliases:AliasWeights",
        "appearance": "densevl.dense.stages.appearance:Appearance",
        "cass-texts": "densevl.dense.stages.cass_texts:CASSTexts",
        "class-scores": "densevl.dense.stages.whole_image:ClassScores",
        "cluster-vote": "densevl.dense.stages.cluster_vote:ClusterVote",
        "freecp": "densevl.dense.stages.purification:Purification",
        "key-smoothing": "densevl.dense.stages.maskclip:KeySmoothing",
        "lposs": "densevl.dense.stages.lposs:LPOSS",
        "lposs-pixels": "densevl.dense.stages.lposs_pixels:LPOSSPixels",
        "mask-vote": "densevl.dense.stages.mask_vote:MaskVote",
        "min-area": "densevl.dense.stages.min_area:MinArea",
        "min-max": "densevl.dense.stages.min_max:MinMax",
        "pamr": "densevl.dense.stages.pamr:PAMR",
        "prompt-denoising": "densevl.dense.stages.maskclip:PromptDenoising",
        "redundancy": "densevl.dense.stages.whole_image:Redundancy",
        "talk2dino-cleaning": "densevl.dense.stages.talk2dino:HeadCleaning",
        "tlp": "densevl.dense.stages.tlp:TextLaplacian",
        "sam-prompts": "densevl.dense.stages.sam_prompts:SamPrompts",
    },
)
