"""Visual prompts: pixels drawn on an image so that an image-text model looks at one region of it.

Source: Yang et al., Fine-Grained Visual Prompting, NeurIPS 2023, https://arxiv.org/abs/2306.04356; reference code at
commit 80b067b. The image is brought to the encoder's size by its short side, drawn on, and later squashed to a square.
Where we differ: blur and grey are made once an image, not once a region (the same bytes); grey weighs red, green and
blue in the right order; blur and thickness are relative to the size; a mask covers a pixel where it covers half of it.
``Style(compatible=True)`` draws the reference's bytes.
"""

from densevl.regions.visual_prompts.blur import gaussian_blur
from densevl.regions.visual_prompts.canvas import Canvas
from densevl.regions.visual_prompts.draw import canvas, draw, marked_batches, marked_by_each
from densevl.regions.visual_prompts.table import COLOURS, VISUAL_PROMPTS, Style, VisualPrompt, visual_prompt

__all__ = [
    "COLOURS",
    "VISUAL_PROMPTS",
    "Canvas",
    "Style",
    "VisualPrompt",
    "canvas",
    "draw",
    "gaussian_blur",
    "marked_batches",
    "marked_by_each",
    "visual_prompt",
]
