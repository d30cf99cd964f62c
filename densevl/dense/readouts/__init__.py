"""How the last block of an image tower is read, and what is done to the class probabilities that come of it."""

from densevl.dense.readouts.maskclip import MaskCLIPReadout, maskclip_reduced
from densevl.dense.readouts.plain import PlainReadout
from densevl.dense.smoothing.maskclip import denoise, smooth_by_keys

__all__ = ["MaskCLIPReadout", "PlainReadout", "denoise", "maskclip_reduced", "smooth_by_keys"]
