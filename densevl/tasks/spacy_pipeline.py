"""English pipelines of spaCy, for what reads their trees and what reads their tags."""

from typing import Any

from densevl.core.errors import UsageError

__all__ = ["PIPELINE", "load_pipeline"]

PIPELINE = "en_core_web_sm"
"""The pipeline that ReCLIP's code uses."""


def load_pipeline(pipeline: Any = PIPELINE) -> Any:
    """A pipeline by its name or folder; a loaded one as it is.

    Raises:
        UsageError: where spaCy or the pipeline is not installed, or it cannot be loaded.
    """
    if not isinstance(pipeline, str):
        return pipeline
    try:
        import spacy

        return spacy.load(pipeline)
    except ImportError as error:
        raise UsageError(
            "this needs spaCy and an English pipeline; install them: pip install 'densevl[spacy]', then "
            f"python -m spacy download {PIPELINE}"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the spaCy pipeline {pipeline!r} cannot be loaded ({str(error).splitlines()[0]}); install an "
            f"English one: pip install spacy, then python -m spacy download {PIPELINE}"
        ) from error
