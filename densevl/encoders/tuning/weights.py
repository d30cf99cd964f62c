"""Weights of the encoder itself, tuned as they are: all of a tower, or those of its last blocks.

It is plain tuning, and what methods that tune less are compared with. The delta is as large as the weights.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder

__all__ = ["TOWERS", "OwnWeights", "Weights", "checked_towers"]

TOWERS = ("image", "text")


def checked_towers(towers: Sequence[str]) -> tuple[str, ...]:
    """Names of towers, each once, the image tower first.

    Raises:
        UsageError: where there is none, or an unknown one.
    """
    given = {towers} if isinstance(towers, str) else {*map(str, towers)}
    if not given or not given <= {*TOWERS}:
        raise UsageError(f"towers are image, text or both; got {', '.join(sorted(given)) or 'none'}")
    return tuple(tower for tower in TOWERS if tower in given)


class OwnWeights(nn.Module):
    """Parameters of an encoder that are tuned themselves, by a rule that the kinds of them have.

    Args:
        encoder: whose parameters.
        towers: of which towers.
        names: of the parameters in the state of the model.

    Raises:
        UsageError: where a tower has none of them.
    """

    foldable = True

    def __init__(self, encoder: CLIPEncoder, towers: Sequence[str], names: Sequence[str]) -> None:
        super().__init__()
        self.towers = checked_towers(towers)
        own = dict(encoder.model.named_parameters())
        for tower in self.towers:
            if not any(_tower_of(name) == tower for name in names):
                raise UsageError(f"the {tower} tower of {encoder.model_id!r} has no such weights to tune")
        for name in names:
            self.register_parameter(name.replace(".", "/"), nn.Parameter(own[name].detach().clone()))

    def attach(self, encoder: CLIPEncoder) -> None:
        """From now on the encoder has these parameters in the place of its own."""
        for name, parameter in self.named_parameters():
            path, _, last = name.replace("/", ".").rpartition(".")
            encoder.model.get_submodule(path)._parameters[last] = parameter

    @torch.no_grad()
    def fold(self, encoder: CLIPEncoder) -> None:
        """Write the parameters into those of the encoder."""
        own = dict(encoder.model.named_parameters())
        for name, parameter in self.named_parameters():
            own[name.replace("/", ".")].data = parameter.detach().clone()


class Weights(OwnWeights):
    """All weights of towers, or of their last blocks.

    Args:
        encoder: whose weights.
        towers: of which towers.
        blocks: how many of the last blocks; None for all weights of the towers.

    Raises:
        UsageError: where a tower has fewer blocks.
    """

    def __init__(self, encoder: CLIPEncoder, towers: Sequence[str] = TOWERS, blocks: int | None = None) -> None:
        chosen = checked_towers(towers)
        names = [name for name, _ in encoder.model.named_parameters() if _tower_of(name) in chosen]
        if blocks is not None:
            names = [name for tower in chosen for name in _of_last_blocks(names, tower, blocks)]
        super().__init__(encoder, chosen, names)
        self.blocks = blocks

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting, JSON values only."""
        return {"towers": list(self.towers), "blocks": self.blocks}


def _tower_of(name: str) -> str:
    """The tower of a parameter of the model; none of the factor of cosines, which belongs to both."""
    return "image" if name.startswith("visual.") else "" if name.startswith("logit_") else "text"


def _of_last_blocks(names: Sequence[str], tower: str, blocks: int) -> list[str]:
    """Names of the parameters of the last blocks of a tower."""
    of_block = {name: int(found[1]) for name in names if _tower_of(name) == tower and (found := _block(name))}
    count = max(of_block.values(), default=-1) + 1
    if not 1 <= blocks <= count:
        raise UsageError(f"blocks={blocks} is no number of blocks to tune: the {tower} tower has {count}")
    return [name for name, block in of_block.items() if block >= count - blocks]


def _block(name: str) -> "re.Match[str] | None":
    return re.search(r"(?:resblocks|blocks|layers?)\.(\d+)\.", name)
