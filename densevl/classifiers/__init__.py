"""Ways to tell classes apart by the vectors of patches, regions or images; one file a method."""

from densevl.core.registry import Registry

__all__ = ["CLASSIFIERS"]

CLASSIFIERS = Registry(
    "classifier",
    {
        "gda": "densevl.classifiers.gda:GDA",
        "text": "densevl.classifiers.text:TextMatching",
    },
)
