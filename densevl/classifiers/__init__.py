"""Ways to tell classes apart by the vectors of patches, regions or images; one file a method."""

from densevl.core.registry import Registry

__all__ = ["CLASSIFIERS", "KINDS"]

CLASSIFIERS = Registry(
    "classifier",
    {
        "gda": "densevl.classifiers.gda:GDA",
        "gda-prior": "densevl.classifiers.gda_prior:GDAPrior",
        "gda-stacked": ("densevl.classifiers.gda:GDA", {"alpha": None}),
        "text": "densevl.classifiers.text:TextMatching",
    },
)

KINDS = Registry(
    "kind of classifier",
    {
        "known": "densevl.classifiers.unknown:Known",
        "linear": "densevl.classifiers.contracts:LinearClassifier",
        "open": "densevl.classifiers.unknown:OpenClassifier",
        "sum": "densevl.classifiers.contracts:SumClassifier",
        "text": "densevl.classifiers.text:TextClassifier",
        "texts": "densevl.core.features:TextEmbeddings",
    },
)
"""What classifiers are made of, for files: a kind is a dataclass; see :mod:`densevl.classifiers.stored`."""
