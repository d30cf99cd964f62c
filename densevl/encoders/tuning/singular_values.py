"""Singular values: each matrix of the blocks as U diag(s) Vᵀ, of which s alone is tuned.

Source: Koleilat et al., Singular Value Few-shot Adaptation of Vision-Language Models (CLIP-SVD),
https://arxiv.org/abs/2509.03740, and HealthX-Lab/CLIP-SVD 022b1ed (MIT). Of every block of a tower the matrices of
queries, keys, values, output and of both feed-forward layers are decomposed, and biases stay.

Where we differ: the weight is W + U diag(s − s₀) Vᵀ, which is W itself, bit for bit, before anything is tuned; the
reference multiplies the three factors again, which costs it 2e-4 of the logits. U and V are computed again wherever a
delta is loaded, in float32 as the reference does it; between float32 and float64 logits differ by 1e-5.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.texts.open_clip import OpenClipTexts
from densevl.encoders.towers.open_clip import OpenClipTower, is_standard
from densevl.encoders.tuning.weights import TOWERS, checked_towers

__all__ = ["Recomposed", "SingularValues"]

MATRICES = (
    ("attn", "in_proj_weight", 3),
    ("attn.out_proj", "weight", 1),
    ("mlp.c_fc", "weight", 1),
    ("mlp.c_proj", "weight", 1),
)
"""Of a block the module, its matrix, and how many matrices stand in it one below the other."""


class Recomposed(nn.Module):
    """A weight with other singular values.

    Args:
        weight: one matrix or several of equal size below each other; it is not kept.
        parts: how many.
        rank: of each, how many of the largest singular values are tuned; None for all.

    Attributes:
        values: the singular values of each, in descending order.
    """

    first: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, weight: Float[Tensor, "m n"], parts: int, rank: int | None = None) -> None:
        super().__init__()
        matrices = weight.detach().unflatten(0, (parts, -1)).to(torch.promote_types(weight.dtype, torch.float32))
        left, values, right = torch.linalg.svd(matrices, full_matrices=False)
        for name, tensor in (("left", left[:, :, :rank]), ("right", right[:, :rank]), ("first", values[:, :rank])):
            self.register_buffer(name, tensor.to(weight).contiguous(), persistent=False)
        self.values = nn.Parameter(self.first.clone())

    def forward(self, weight: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
        """The weight, changed by as much as its singular values were."""
        changed = (self.left * (self.values - self.first)[:, None]) @ self.right
        return weight + changed.flatten(0, 1)


class SingularValues(nn.Module):
    """The singular values of the blocks of one tower or of both.

    Args:
        encoder: of open_clip's standard blocks.
        towers: whose blocks.
        rank: how many of the largest singular values of each matrix are tuned; None for all.

    Raises:
        UsageError: where the blocks are others, or the rank is not one that every matrix has.
    """

    foldable = True

    def __init__(self, encoder: CLIPEncoder, towers: Sequence[str] = TOWERS, rank: int | None = None) -> None:
        super().__init__()
        self.towers, self.rank = checked_towers(towers), rank
        places = [
            (f"{name}.{path}", block.get_submodule(path), matrix, parts)
            for tower in self.towers
            for name, block in _blocks(encoder, tower)
            for path, matrix, parts in MATRICES
        ]
        _check_rank(rank, min(_least(module, matrix, parts) for _, module, matrix, parts in places))
        self.weights = nn.ModuleDict()
        for name, module, matrix, parts in tqdm(places, desc="singular values", delay=2, leave=False, disable=None):
            self.weights[name.replace(".", "/")] = Recomposed(getattr(module, matrix), parts, rank)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting, JSON values only."""
        return {"towers": list(self.towers), "rank": self.rank}

    def attach(self, encoder: CLIPEncoder) -> None:
        """From now on the encoder computes with these singular values, and gradients flow to them."""
        for module, matrix, recomposed in self._places(encoder):
            parametrize.register_parametrization(module, matrix, recomposed)

    @torch.no_grad()
    def fold(self, encoder: CLIPEncoder) -> None:
        """Write the singular values into the weights of the encoder, attached or not."""
        for module, matrix, recomposed in self._places(encoder):
            if parametrize.is_parametrized(module, matrix):
                parametrize.remove_parametrizations(module, matrix, leave_parametrized=True)
            else:
                weight = getattr(module, matrix)
                weight.copy_(recomposed(weight))

    def _places(self, encoder: CLIPEncoder) -> Iterator[tuple[nn.Module, str, nn.Module]]:
        for tower in self.towers:
            for name, block in _blocks(encoder, tower):
                for path, matrix, _ in MATRICES:
                    yield block.get_submodule(path), matrix, self.weights[f"{name}.{path}".replace(".", "/")]


def _blocks(encoder: CLIPEncoder, tower: str) -> Iterator[tuple[str, nn.Module]]:
    """The blocks of a tower, by their names in the state of the model.

    Raises:
        UsageError: where they are no standard ones of open_clip.
    """
    standard = isinstance(getattr(encoder, "image", None), OpenClipTower) and isinstance(encoder.text, OpenClipTexts)
    tower_module: Any = encoder.model.visual if tower == "image" else getattr(encoder.text, "tower", None)
    blocks = getattr(getattr(tower_module, "transformer", None), "resblocks", ())
    if not standard or not len(blocks) or not all(map(is_standard, blocks)):
        raise UsageError(
            f"singular values are tuned in the standard blocks of open_clip, and the {tower} tower of "
            f"{encoder.model_id!r} has others; take a model such as clip-vit-b16-openai or mini-clip"
        )
    for name, block in encoder.model.named_modules():
        if any(block is one for one in blocks):
            yield name, block


def _least(module: nn.Module, matrix: str, parts: int) -> int:
    rows, columns = getattr(module, matrix).shape
    return min(rows // parts, columns)


def _check_rank(rank: int | None, most: int) -> None:
    """Refuse a rank of no singular value, or of more than there are.

    Raises:
        UsageError: where it is one.
    """
    if rank is not None and not 1 <= rank <= most:
        raise UsageError(
            f"rank={rank} is no number of singular values to tune: give 1 to {most}, or null for all of them"
        )
