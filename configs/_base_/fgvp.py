"""FGVP (Yang et al., NeurIPS 2023) as the named model of that name: blur reverse mask, with relations."""

from densevl.benchmarks.referring.model import GroundingModel

model = dict(type=GroundingModel, grounder="fgvp")
