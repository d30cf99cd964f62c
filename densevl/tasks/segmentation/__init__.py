"""From class names to label maps: the segmentor that puts an encoder and its readout together, and building it by name.

Importing this package registers it.
"""

from densevl.classifiers.text import class_probabilities
from densevl.tasks.segmentation.segmentor import EncodedImage, Segmentor

__all__ = ["EncodedImage", "Segmentor", "class_probabilities"]
