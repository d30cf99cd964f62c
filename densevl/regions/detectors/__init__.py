"""Open-vocabulary detectors: from words to boxes, which a grounder ranks anew or a labelling run keeps.

OWLv2 and Grounding DINO are an extra, ``densevl[detect]``; ``mini`` is made of the mini SAM, CLIP and CLOC.
Importing this package registers them; transformers is imported when one of the former is built.
"""

from typing import Any

from densevl.core.registry import DETECTORS
from densevl.regions.detectors.detector import Detector, Found, find_one_by_one

__all__ = ["Detector", "Found", "build_grounding_dino", "build_mini", "build_owlv2", "find_one_by_one"]


@DETECTORS.register_module("owlv2")
def build_owlv2(*args: Any, **settings: Any) -> Detector:
    """An OWLv2 detector; the arguments are those of :func:`densevl.regions.detectors.owlv2.build_owlv2`.

    Raises:
        UsageError: where transformers is missing.
        WeightsError: where the model cannot be had.
    """
    from densevl.regions.detectors.owlv2 import build_owlv2 as build

    return build(*args, **settings)


@DETECTORS.register_module("grounding-dino")
def build_grounding_dino(*args: Any, **settings: Any) -> Detector:
    """A Grounding DINO detector; the arguments are those of
    :func:`densevl.regions.detectors.grounding_dino.build_grounding_dino`.

    Raises:
        UsageError: where transformers is missing.
        WeightsError: where the model cannot be had.
    """
    from densevl.regions.detectors.grounding_dino import build_grounding_dino as build

    return build(*args, **settings)


@DETECTORS.register_module("mini")
def build_mini(*args: Any, **settings: Any) -> Detector:
    """The mini detector, as :func:`densevl.regions.detectors.named_proposals.build_mini_detector` builds it."""
    from densevl.regions.detectors.named_proposals import build_mini_detector as build

    return build(*args, **settings)
