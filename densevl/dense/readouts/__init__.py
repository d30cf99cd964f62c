"""Ways to read the last block of an image tower; one file a method."""

from densevl.core.registry import Registry

__all__ = ["READOUTS"]

STREAMS = "densevl.dense.readouts.streams:StreamsReadout"

READOUTS = Registry(
    "readout",
    {
        "clip-surgery": (STREAMS, {"sources": "v", "normalised": False, "iterations": 0}),
        "cliptrase": "densevl.dense.readouts.cliptrase:CLIPtraseReadout",
        "gem": STREAMS,
        "maskclip": "densevl.dense.readouts.maskclip:MaskCLIPReadout",
        "maskclip-reduced": ("densevl.dense.readouts.maskclip:MaskCLIPReadout", {"residual": False, "mlp": False}),
        "naclip": "densevl.dense.readouts.naclip:NACLIPReadout",
        "plain": "densevl.dense.readouts.plain:PlainReadout",
        "resclip": "densevl.dense.readouts.resclip:ResCLIPReadout",
    },
)
