"""Scenes: seeded pictures of shapes on textured ground, with exact masks and true texts."""

from densevl.scenes.grounds import GROUNDS
from densevl.scenes.language import Expression, caption, expressions, region_text, things
from densevl.scenes.scene import CLASSES, COLOURS, HELD_OUT, Scene, SceneObject, class_index, render
from densevl.scenes.shapes import SHAPES

__all__ = [
    "CLASSES",
    "COLOURS",
    "GROUNDS",
    "HELD_OUT",
    "SHAPES",
    "Expression",
    "Scene",
    "SceneObject",
    "caption",
    "class_index",
    "expressions",
    "region_text",
    "render",
    "things",
]
