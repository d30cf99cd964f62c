"""Images to work on, wherever they are: in files, lists, archives, videos and on the web."""

from densevl.core.inputs.contracts import BrokenInput, Input
from densevl.core.inputs.find import find_inputs, open_input

__all__ = ["BrokenInput", "Input", "find_inputs", "open_input"]
