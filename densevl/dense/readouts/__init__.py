"""Ways to read the last block of an image tower; one file a method."""

from densevl.core.registry import Registry

__all__ = ["READOUTS"]

ANOMALIES = "densevl.dense.readouts.anomalies:AnomalyReadout"
ATTENTION = "densevl.dense.readouts.attention:AttentionReadout"
STREAMS = "densevl.dense.readouts.streams:StreamsReadout"

READOUTS = Registry(
    "readout",
    {
        "attention": ATTENTION,
        "cass": "densevl.dense.readouts.cass:CASSReadout",
        "clearclip": (ATTENTION, {"terms": ("qq",)}),
        "declip": (ATTENTION, {"terms": ({"pair": "qq", "measure": "dot"}, {"pair": "kk", "measure": "dot"})}),
        "clip-surgery": (STREAMS, {"sources": "v", "normalised": False, "iterations": 0}),
        "corrclip": "densevl.dense.readouts.corrclip:CorrCLIPReadout",
        "cliptrase": "densevl.dense.readouts.cliptrase:CLIPtraseReadout",
        "gem": STREAMS,
        "gla-clip": "densevl.dense.readouts.gla_clip:GLAReadout",
        "lavg": "densevl.dense.readouts.lavg:LaVGReadout",
        "maskclip": "densevl.dense.readouts.maskclip:MaskCLIPReadout",
        "maskclip-reduced": ("densevl.dense.readouts.maskclip:MaskCLIPReadout", {"residual": False, "mlp": False}),
        "naclip": "densevl.dense.readouts.naclip:NACLIPReadout",
        "pearl": "densevl.dense.readouts.pearl:PEARLReadout",
        "plain": "densevl.dense.readouts.plain:PlainReadout",
        "proxyclip": (ATTENTION, {"terms": ({"pair": "guide", "beta": 1.2, "gamma": 3.0},), "tokens": "patches"}),
        "sc-clip": ANOMALIES,
        "sclip": (ATTENTION, {"terms": ("qq", "kk"), "residual": True, "mlp": True}),
        "radseg": "densevl.dense.readouts.radseg:RADSegReadout",
        "resclip": "densevl.dense.readouts.resclip:ResCLIPReadout",
        "sfp": (
            ANOMALIES,
            {"rule": "class-attention", "first": ("kk", "qq", "cut-gate"), "second": ("cut-gate",)},
        ),
        "trident": "densevl.dense.readouts.trident:TridentReadout",
    },
)
