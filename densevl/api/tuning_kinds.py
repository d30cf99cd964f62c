"""What classes can be tuned for."""

from collections.abc import Mapping
from typing import Any

__all__ = ["HELD_OUT", "KINDS", "WHOLE_IMAGES"]

KINDS = ("regions", "images", "pixels")
"""What classes can be tuned for: regions of images, whole images, or the pixels of label maps."""

WHOLE_IMAGES: Mapping[str, Any] = {"type": "marked-images", "visual_prompts": ["crop"]}
"""The region embedder by which whole images are seen: the crop of a whole image is the image."""

HELD_OUT = 0.1
"""Part of the images that is held out."""
