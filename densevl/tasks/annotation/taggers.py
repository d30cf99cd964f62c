"""Taggers by name: from a caption to its words and Penn Treebank tags."""

from densevl.core.errors import UsageError, suggestion
from densevl.tasks.annotation.noun_phrases import Tagger
from densevl.tasks.annotation.rule_tagger import rule_tags

__all__ = ["load_tagger"]


def load_tagger(name: str) -> Tagger:
    """A tagger.

    Args:
        name: ``"rule"`` (:func:`rule_tags`, which needs nothing), ``"nltk"`` for NLTK's averaged perceptron,
            ``"spacy"`` for spaCy's small English pipeline, or ``"spacy:"`` and the name or folder of another one.

    Raises:
        UsageError: where the name is unknown, or the library or its model is not installed.
    """
    kind, _, pipeline = name.partition(":")
    if kind == "spacy":
        from densevl.tasks.annotation.spacy_tagger import SpacyTagger
        from densevl.tasks.spacy_pipeline import PIPELINE

        return SpacyTagger(pipeline or PIPELINE)
    if name == "nltk":
        from densevl.tasks.annotation.nltk_tagger import NltkTagger

        return NltkTagger()
    if name == "rule":
        return rule_tags
    raise UsageError(
        f"unknown way to find phrases {name!r}; {suggestion(name, ['rule', 'nltk', 'spacy', 'spacy:PIPELINE'])}"
    )
