"""Ways to read the last block of an image tower; one file a method."""

from densevl.core.registry import Registry

__all__ = ["READOUTS"]

READOUTS = Registry(
    "readout",
    {
        "maskclip": "densevl.dense.readouts.maskclip:MaskCLIPReadout",
        "maskclip-reduced": ("densevl.dense.readouts.maskclip:MaskCLIPReadout", {"residual": False, "mlp": False}),
        "naclip": "densevl.dense.readouts.naclip:NACLIPReadout",
        "plain": "densevl.dense.readouts.plain:PlainReadout",
    },
)
