"""English pipelines of spaCy, for the words and tags of captions."""

from typing import Any

from densevl.core.errors import UsageError, first_line

__all__ = ["installed_pipeline", "load_pipeline"]

CURE = "install one: pip install 'densevl[spacy]'"


def installed_pipeline() -> str:
    """The name of an installed English pipeline: a small one where there are several.

    Raises:
        UsageError: where spaCy or a pipeline is not installed.
    """
    try:
        from spacy.util import get_installed_models
    except ImportError as error:
        raise UsageError(f"this needs spaCy and an English pipeline; {CURE}") from error
    found = sorted(
        (name for name in get_installed_models() if name.startswith("en_")), key=lambda name: "_sm" not in name
    )
    if not found:
        raise UsageError(f"spaCy is here, and no English pipeline; {CURE}")
    return found[0]


def load_pipeline(pipeline: Any = None) -> Any:
    """A pipeline by its name or folder, a loaded one as it is, or for None the one of :func:`installed_pipeline`.

    Raises:
        UsageError: where spaCy or the pipeline is not installed, or it cannot be loaded.
    """
    if not isinstance(pipeline, str | None):
        return pipeline
    name = pipeline or installed_pipeline()
    try:
        import spacy

        return spacy.load(name)
    except ImportError as error:
        raise UsageError(f"this needs spaCy and an English pipeline; {CURE}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"the spaCy pipeline {name!r} cannot be loaded ({first_line(error)}); {CURE}") from error
