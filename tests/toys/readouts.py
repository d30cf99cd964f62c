"""Settings by which each readout runs on an encoder of any depth."""

from typing import Any

from toys.guides import with_guide

OF_STATES = ("sc-clip", "sfp")
"""Readouts that name blocks by their number."""


def settled(readout: str, encoder: Any) -> Any:
    """The config of a readout for images apart: with a guide, blocks that are there, no class token where none is."""
    if readout == "radseg":
        return {"type": readout, "splice": False}
    if readout not in OF_STATES:
        return with_guide(readout)
    last = encoder.depth - 1
    layers = {"middle": last, "early": min(1, last), "summed": list(range(last))}
    without = {} if encoder.image.prefix else {"rule": "density", "class_weight": 0}
    return {"type": readout, **layers, **without}
