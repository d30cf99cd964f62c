"""Ways to tell classes apart by the vectors of patches, regions or images; one file a method."""

from densevl.core.registry import Registry

__all__ = ["CLASSIFIERS", "KINDS"]

CLASSIFIERS = Registry(
    "classifier",
    {
        "caps-adapter": "densevl.classifiers.caps_adapter:CapSAdapter",
        "closed-set": "densevl.classifiers.closed_set:ClosedSetMatching",
        "cooked": "densevl.classifiers.cooked:COOkeD",
        "floss": "densevl.classifiers.floss:FLOSS",
        "gda": "densevl.classifiers.gda:GDA",
        "gda-prior": "densevl.classifiers.gda_prior:GDAPrior",
        "gda-prior-tuned": ("densevl.classifiers.gda_prior:GDAPrior", {"kappa": None}),
        "gda-stacked": ("densevl.classifiers.gda:GDA", {"alpha": None}),
        "linear-probe": "densevl.classifiers.linear_probe:LinearProbe",
        "nearest": "densevl.classifiers.nearest:NearestExample",
        "neighbours": "densevl.classifiers.neighbours:Neighbours",
        "nmtune": "densevl.classifiers.nmtune:NMTune",
        "text": "densevl.classifiers.text:TextMatching",
        "tip-adapter": "densevl.classifiers.tip_adapter:TipAdapter",
        "tip-adapter-f": ("densevl.classifiers.tip_adapter:TipAdapter", {"epochs": 20}),
        "tip-x": "densevl.classifiers.tip_x:TIPX",
    },
)

KINDS = Registry(
    "kind of classifier",
    {
        "cache": "densevl.classifiers.cache:CacheClassifier",
        "closed-set": "densevl.classifiers.closed_set:ClosedSetClassifier",
        "conditional": "densevl.classifiers.conditional:ConditionalClassifier",
        "cooked": "densevl.classifiers.cooked:CookedClassifier",
        "divergences": "densevl.classifiers.cache:Divergences",
        "known-classes": "densevl.core.features:ClosedSet",
        "known-vectors": "densevl.classifiers.unknown:Known",
        "linear": "densevl.classifiers.contracts:LinearClassifier",
        "nearest": "densevl.classifiers.nearest:NearestClassifier",
        "neighbours": "densevl.classifiers.neighbours:NeighbourClassifier",
        "open": "densevl.classifiers.unknown:OpenClassifier",
        "residual": "densevl.classifiers.nmtune:ResidualClassifier",
        "sum": "densevl.classifiers.contracts:SumClassifier",
        "text": "densevl.classifiers.text:TextClassifier",
        "texts": "densevl.core.features:TextEmbeddings",
    },
)
"""What classifiers are made of, for files: a kind is a dataclass; see :mod:`densevl.classifiers.stored`."""
