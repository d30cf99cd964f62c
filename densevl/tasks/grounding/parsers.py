"""Parsers of referring expressions by name."""

from collections.abc import Callable

from densevl.core.errors import UsageError, suggestion
from densevl.tasks.grounding.expression import parse_expression, parse_reclip
from densevl.tasks.grounding.phrase import Phrase

__all__ = ["load_parser", "parser_name"]


def load_parser(parser: str | Callable[[str], Phrase]) -> Callable[[str], Phrase]:
    """A parser that takes expressions apart.

    Args:
        parser: ``"rules"`` (:func:`parse_expression`), ``"reclip"`` (:func:`parse_reclip`) for the relations and
            superlatives of published figures alone, or a function from an expression to its tree.

    Raises:
        UsageError: where the name is unknown.
    """
    parsers: dict[str, Callable[[str], Phrase]] = {"rules": parse_expression, "reclip": parse_reclip}
    if callable(parser):
        return parser
    if parser not in parsers:
        raise UsageError(f"unknown parser {parser!r}; {suggestion(str(parser), parsers)}")
    return parsers[parser]


def parser_name(parser: Callable[[str], Phrase]) -> str:
    """A parser's name in reports."""
    names = {parse_expression: "rules", parse_reclip: "reclip"}
    if parser in names:
        return names[parser]
    return str(getattr(parser, "name", getattr(parser, "__qualname__", type(parser).__qualname__)))
