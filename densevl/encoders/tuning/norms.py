"""Normalisations: the gains and biases of the layer norms of towers, tuned as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.weights import TOWERS, OwnWeights, checked_towers

__all__ = ["Norms"]


class Norms(OwnWeights):
    """The layer norms of one tower or of both.

    Args:
        encoder: whose layer norms.
        towers: of which towers.

    Raises:
        UsageError: where a tower has none.
    """

    def __init__(self, encoder: CLIPEncoder, towers: Sequence[str] = TOWERS) -> None:
        chosen, modules = checked_towers(towers), encoder.model.named_modules()
        norms = [name for name, module in modules if isinstance(module, nn.LayerNorm) and _tower(name) in chosen]
        own = dict(encoder.model.named_parameters())
        names = [f"{norm}.{kind}" for norm in norms for kind in ("weight", "bias") if f"{norm}.{kind}" in own]
        super().__init__(encoder, chosen, names)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting, JSON values only."""
        return {"towers": list(self.towers)}


def _tower(name: str) -> str:
    return "image" if name.startswith("visual.") else "text"
