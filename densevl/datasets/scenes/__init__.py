"""Scenes: seeded images of shapes on textured ground, with exact masks and true texts."""

from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.language import Expression, caption, expressions, region_text, things
from densevl.datasets.scenes.scene import CLASSES, COLOURS, HELD_OUT, Scene, SceneObject, class_index, render
from densevl.datasets.scenes.shapes import SHAPES

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
