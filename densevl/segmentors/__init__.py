"""From class names to label maps: the segmentor that puts an encoder and its readout together, and building it by name.

Importing this package registers it.
"""

from densevl.segmentors.building import build_segmentor
from densevl.segmentors.segmentor import EncodedImage, Segmentor, class_probabilities

__all__ = ["EncodedImage", "Segmentor", "build_segmentor", "class_probabilities"]
