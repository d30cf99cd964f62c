"""What one needs to know in order to trust an answer of taught classes, or to abstain: JSON values for each region.

* ``name`` and ``confidence``: the answer, and its calibrated probability;
* ``p``: the fraction of known things that look at least as strange, None where nothing could be held out;
  ``unknown``: whether that is too strange, where a limit was asked for;
* ``could_be``: the classes that hold the true one in nine of ten cases, none where nothing known looks like it;
* ``neighbours``: the examples that look like it, each with its image.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from densevl.classifiers.classes import Classes, Head
from densevl.classifiers.conformal import conformal_sets, limit
from densevl.classifiers.unknown import OpenClassifier

__all__ = ["COVERAGE", "calibration_of", "trust_of"]

COVERAGE, NEIGHBOURS = 0.9, 3
"""How often the classes of ``could_be`` hold the true one; examples that are named."""


def trust_of(classes: Classes, vectors: Float[Tensor, "n d"], head: str = "regions") -> list[dict[str, Any]]:
    """What supports the answer for each vector; None where too few examples were kept to say.

    Args:
        classes: the classes, with an *unknown* or without.
        vectors: unit vectors of the space of the head.
        head: whose vectors they are.

    Raises:
        UsageError: where the classes were taught without the head.
    """
    classifier, own = classes.head(head), classes.heads[head]
    opened = classifier if isinstance(classifier, OpenClassifier) else None
    known = classifier if opened is None else opened.classifier
    probabilities = known(vectors).float().softmax(-1).cpu()
    confidences, answers = probabilities.max(1)
    found: list[dict[str, Any]] = [
        {"name": classes.names[answer], "confidence": round(confidence, 6)}
        for answer, confidence in zip(answers.tolist(), confidences.tolist(), strict=True)
    ]
    if own.evidence is None or not len(vectors):
        return found
    evidence, doubts = own.evidence, own.known.doubts(vectors.double()).cpu()
    p_values, near = evidence.p_values(doubts).tolist(), evidence.neighbours(vectors, NEIGHBOURS)
    sets = conformal_sets(probabilities, limit(evidence.scores, COVERAGE)).tolist()
    for place, record in enumerate(found):
        record["p"] = round(p_values[place], 6) if len(evidence.doubts) else None
        record["unknown"] = None if opened is None else bool(doubts[place] > opened.limit)
        record["could_be"] = [name for name, inside in zip(classes.names, sets[place], strict=False) if inside]
        record["neighbours"] = [
            {
                "name": classes.names[one.label],
                "image": one.image,
                "box": one.box,
                "similarity": round(one.similarity, 6),
            }
            for one in near[place]
        ]
    return found


def calibration_of(head: Head) -> dict[str, Any]:
    """How far the answers of a head could be believed for held-out examples: JSON values only."""
    opened = head.classifier if isinstance(head.classifier, OpenClassifier) else None
    held = dict(head.facts.get("held_out", {}))
    count = 0 if head.evidence is None else len(head.evidence.scores)
    limits = {"coverage": COVERAGE, "unknown_beyond": None if opened is None else opened.limit}
    return {**held, "held_out_examples": count, **limits}
