"""What turns pixels and texts into vectors; one heavy library behind each encoder.

Importing this package registers the encoders.
"""

from densevl.encoders.clip import CLIPEncoder, WholeImageEncoder
from densevl.encoders.dino import DINOEncoder, build_dino, build_dino_model
from densevl.encoders.loading import build_clip, build_clip_model, build_random_clip, build_whole_clip
from densevl.encoders.texts.cache import TextCache

__all__ = [
    "CLIPEncoder",
    "DINOEncoder",
    "TextCache",
    "WholeImageEncoder",
    "build_clip",
    "build_clip_model",
    "build_dino",
    "build_dino_model",
    "build_random_clip",
    "build_whole_clip",
]
