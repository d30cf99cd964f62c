"""Open-vocabulary detectors: from words to boxes, which a grounder ranks anew or a labelling run keeps.

OWLv2 and Grounding DINO are an extra, ``densevl[detect]``; ``mini`` is made of the mini SAM, CLIP and CLOC;
``grain`` needs a file of GRAIN, of which none was released."""

from densevl.core.registry import Registry

__all__ = ["DETECTORS"]

DETECTORS = Registry(
    "detector",
    {
        "grain": "densevl.regions.detectors.grain:build_grain",
        "grounding-dino": "densevl.regions.detectors.grounding_dino:build_grounding_dino",
        "mini": "densevl.regions.detectors.named_proposals:build_mini_detector",
        "owlv2": "densevl.regions.detectors.owlv2:build_owlv2",
    },
)
