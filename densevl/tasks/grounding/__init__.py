"""From expressions to regions: the parser, relations, scores, and the grounder that puts them together."""

from densevl.core.registry import Registry

__all__ = ["GROUNDERS"]

GROUNDERS = Registry(
    "grounder",
    {
        "regions": "densevl.tasks.grounding.grounder:Grounder",
    },
)
