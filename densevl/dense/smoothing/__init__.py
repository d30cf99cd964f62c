"""Ways to smooth class scores, on the patch grid or at the pixels; one file a method."""

from densevl.core.registry import Registry

__all__ = ["SMOOTHINGS"]

SMOOTHINGS = Registry(
    "smoothing",
    {
        "appearance": "densevl.dense.smoothing.appearance:Appearance",
        "key-smoothing": "densevl.dense.smoothing.maskclip:KeySmoothing",
        "pamr": "densevl.dense.smoothing.pamr:PAMR",
        "prompt-denoising": "densevl.dense.smoothing.maskclip:PromptDenoising",
    },
)
