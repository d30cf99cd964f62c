"""Parts of speech by a spaCy pipeline, where spaCy and an English pipeline are installed."""

from typing import Any

from densevl.core.errors import UsageError
from densevl.tasks.spacy_pipeline import PIPELINE, load_pipeline

try:
    import spacy  # noqa: F401
except ImportError as error:
    raise UsageError(
        "phrases by 'spacy' need spaCy and an English pipeline; install them: pip install 'densevl[spacy]', then "
        "python -m spacy download en_core_web_sm"
    ) from error

__all__ = ["SpacyTagger"]


class SpacyTagger:
    """Tags with a spaCy pipeline.

    Args:
        pipeline: name or folder of an English pipeline with a tagger, or a loaded one.

    Raises:
        UsageError: where it is not installed, cannot be loaded, is of another language or has no tagger.
    """

    def __init__(self, pipeline: Any = PIPELINE) -> None:
        pipeline = load_pipeline(pipeline)
        if pipeline.lang != "en" or not pipeline("a red dog").has_annotation("TAG"):
            raise UsageError(f"the spaCy pipeline {pipeline.meta['name']!r} tags no English; take {PIPELINE}")
        self.pipeline = pipeline

    def __call__(self, text: str) -> list[tuple[str, str]]:
        """The words of a text and their tags."""
        return [(token.text, token.tag_) for token in self.pipeline(text) if not token.is_space]
