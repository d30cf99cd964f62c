"""Taggers by name: from a caption to its words and Penn Treebank tags."""

from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.tasks.annotation.noun_phrases import Tagger
from densevl.tasks.annotation.rule_tagger import rule_tags
from densevl.tasks.spacy_pipeline import load_pipeline

__all__ = ["NltkTagger", "SpacyTagger", "load_tagger"]


def load_tagger(name: str) -> Tagger:
    """A tagger.

    Args:
        name: ``"rule"`` (:func:`rule_tags`, which needs nothing), ``"nltk"`` for NLTK's averaged perceptron,
            ``"spacy"`` for an English pipeline of spaCy that is installed, or ``"spacy:"`` and the name or folder of
            one.

    Raises:
        UsageError: where the name is unknown, or the library or its model is not installed.
    """
    kind, _, pipeline = name.partition(":")
    if kind == "spacy":
        return SpacyTagger(pipeline or None)
    if name == "nltk":
        return NltkTagger()
    if name == "rule":
        return rule_tags
    raise UsageError(f"tagger {name!r} is unknown; {suggestion(name, ['rule', 'nltk', 'spacy', 'spacy:PIPELINE'])}")


class NltkTagger:
    """Tags with NLTK's averaged perceptron.

    The model is a JSON from NLTK 3.9 on; older ones were pickles, and are not read.

    Args:
        tagger: a trained ``PerceptronTagger``; None for the English one of NLTK's data.

    Raises:
        UsageError: where NLTK or its data are not installed.
    """

    def __init__(self, tagger: Any = None) -> None:
        try:
            from nltk.tag.perceptron import PerceptronTagger
            from nltk.tokenize import TreebankWordTokenizer
        except ImportError as error:
            raise UsageError("phrases by 'nltk' need NLTK; install it: pip install 'nltk>=3.9'") from error
        try:
            self.tagger = PerceptronTagger() if tagger is None else tagger
        except LookupError as error:
            raise UsageError(
                "NLTK's English tagger is not installed; fetch it: "
                "python -m nltk.downloader averaged_perceptron_tagger_eng"
            ) from error
        self.tokenizer = TreebankWordTokenizer()

    def __call__(self, text: str) -> list[tuple[str, str]]:
        """The words of a text and their tags."""
        return [(str(word), str(tag)) for word, tag in self.tagger.tag(self.tokenizer.tokenize(text))]


class SpacyTagger:
    """Tags with a spaCy pipeline.

    Args:
        pipeline: name or folder of an English pipeline with a tagger, or a loaded one; None for one that is installed.

    Raises:
        UsageError: where spaCy or the pipeline is not installed, or the pipeline is of another language or has no
            tagger.
    """

    def __init__(self, pipeline: Any = None) -> None:
        pipeline = load_pipeline(pipeline)
        if pipeline.lang != "en" or not pipeline("a red dog").has_annotation("TAG"):
            raise UsageError(f"the spaCy pipeline {pipeline.meta['name']!r} tags no English; take an English one")
        self.pipeline = pipeline

    def __call__(self, text: str) -> list[tuple[str, str]]:
        """The words of a text and their tags."""
        return [(token.text, token.tag_) for token in self.pipeline(text) if not token.is_space]
