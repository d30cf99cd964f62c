"""Open-vocabulary detectors: from words to boxes, which a grounder ranks anew. An extra: ``densevl[detect]``.

Importing this package registers them; transformers is imported when one is built.
"""

from typing import Any

from densevl.detectors.detector import Detector
from densevl.registry import DETECTORS

__all__ = ["Detector", "build_grounding_dino", "build_owlv2"]


@DETECTORS.register_module("owlv2")
def build_owlv2(*args: Any, **settings: Any) -> Detector:
    """An OWLv2 detector; the arguments are those of :func:`densevl.detectors.owlv2.build_owlv2`.

    Raises:
        UsageError: where transformers is missing.
        WeightsError: where the model cannot be had.
    """
    from densevl.detectors.owlv2 import build_owlv2 as build

    return build(*args, **settings)


@DETECTORS.register_module("grounding-dino")
def build_grounding_dino(*args: Any, **settings: Any) -> Detector:
    """A Grounding DINO detector; the arguments are those of
    :func:`densevl.detectors.grounding_dino.build_grounding_dino`.

    Raises:
        UsageError: where transformers is missing.
        WeightsError: where the model cannot be had.
    """
    from densevl.detectors.grounding_dino import build_grounding_dino as build

    return build(*args, **settings)
