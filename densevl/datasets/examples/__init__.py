"""Examples of classes: regions of images with names, as the tools of the field write them; one file a layout.

A reader is a function ``(content, path, images) -> examples``; which one reads a file or a folder is decided by what is
in it, see :mod:`densevl.datasets.examples.read`.
"""

from densevl.datasets.examples.example import Example
from densevl.datasets.examples.read import ExamplesLike, given_examples, read_examples
from densevl.datasets.examples.sequences import (
    SequenceExample,
    SequencesLike,
    frames_of,
    given_sequences,
    is_sequence,
    read_sequences,
)

__all__ = [
    "Example",
    "ExamplesLike",
    "SequenceExample",
    "SequencesLike",
    "frames_of",
    "given_examples",
    "given_sequences",
    "is_sequence",
    "read_examples",
    "read_sequences",
]
