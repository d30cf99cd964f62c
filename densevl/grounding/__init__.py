"""From expressions to regions: the parser, relations, scores, proposals and the grounder that puts them together.

Importing this package registers the grounders.
"""

from densevl.grounding.building import build_grounder
from densevl.grounding.encoded_regions import EncodedRegions
from densevl.grounding.expression import parse_expression
from densevl.grounding.grounder import Grounder
from densevl.grounding.grounding import Grounding
from densevl.grounding.phrase import Phrase, Relation, Superlative

__all__ = [
    "EncodedRegions",
    "Grounder",
    "Grounding",
    "Phrase",
    "Relation",
    "Superlative",
    "build_grounder",
    "parse_expression",
]
