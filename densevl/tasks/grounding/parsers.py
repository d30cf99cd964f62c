"""Parsers of referring expressions by name."""

from collections.abc import Callable

from densevl.core.errors import UsageError, suggestion
from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.grounding.phrase import Phrase
from densevl.tasks.spacy_pipeline import PIPELINE

__all__ = ["load_parser", "parser_name"]


def load_parser(parser: str | Callable[[str], Phrase]) -> Callable[[str], Phrase]:
    """A parser that takes expressions apart.

    Args:
        parser: ``"rules"`` (:func:`parse_expression`), ``"spacy"`` for spaCy's small English pipeline, ``"spacy:"`` and
            the name or folder of another one, or a function from an expression to its tree.

    Raises:
        UsageError: where the name is unknown, or spaCy or its pipeline is not installed.
    """
    if not isinstance(parser, str):
        return parser
    name, _, pipeline = parser.partition(":")
    if name == "spacy":
        from densevl.tasks.grounding.spacy_parser import SpacyParser

        return SpacyParser(pipeline or PIPELINE)
    if parser == "rules":
        return parse_expression
    raise UsageError(f"unknown parser {parser!r}; {suggestion(parser, ['rules', 'spacy', 'spacy:PIPELINE'])}")


def parser_name(parser: Callable[[str], Phrase]) -> str:
    """A parser's name in reports."""
    if parser is parse_expression:
        return "rules"
    return str(getattr(parser, "name", getattr(parser, "__qualname__", type(parser).__qualname__)))
