"""From expressions to regions: the parser, relations, scores, proposals and the grounder that puts them together.

Importing this package registers the grounders.
"""

from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.grounding.grounder import Grounder
from densevl.tasks.grounding.grounding import EncodedRegions, Grounding
from densevl.tasks.grounding.phrase import Phrase, Relation, Superlative

__all__ = [
    "EncodedRegions",
    "Grounder",
    "Grounding",
    "Phrase",
    "Relation",
    "Superlative",
    "parse_expression",
]
