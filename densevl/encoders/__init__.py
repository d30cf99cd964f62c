"""What turns pixels and texts into vectors; one heavy library behind each encoder.

Importing this package registers the encoders.
"""

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.clip_weights import build_clip, build_clip_model, build_whole_clip
from densevl.encoders.dino import DINOEncoder, build_dino, build_dino_model
from densevl.encoders.random_clip import build_random_clip
from densevl.encoders.text_cache import TextCache
from densevl.encoders.whole_clip import WholeImageEncoder

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
