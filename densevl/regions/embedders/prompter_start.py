"""First weights for a prompter on a finished CLIP: at step 0 a box is answered by the mean of f' inside it.

A prompter with random weights has to find out from few region texts what CLIP knows already: which tokens lie in a box,
and how tokens become vectors of the joint space. Here both are given, so that training only has to improve on box
pooling. With x̂ a normalised token, W and b the affine part of the CLIP's last normalisation, P its projection without
the mean over channels (which the normalisation before it removes), P = U S Vᵀ, and s(.) sinusoids:

- values are W x̂ + b, mixed by the identity; the feed-forward part adds 0; the projection is P;
- of a box, a hint is B s(box), and the logit of a token at (x, y) is

      f(x - x0) + f(x1 - x) + f(y - y0) + f(y1 - y),       f(t) = Σ_k a_k cos ω_k t + b_k sin ω_k t

  which is bilinear in s(box) and s(x, y). The softmax of such logits is a product over both axes, so a and b are those
  for which it comes nearest, in relative entropy, to the uniform distribution over an interval: a convex problem that
  needs no image (total variation 0.04 for boxes with 12 frequencies);
- a point is a box of no size; a mask is what its tokens say;
- of a text, a hint is U Vᵀ f_T, and the logit of a token is τ f_T · P x̂, scaled as cosines are: where the text is true.

The columns of B are the directions that P reads least, those of U the others, so the hints hardly enter the answer and
do not disturb each other.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.regions.embedders.prompter import Prompter
from densevl.regions.embedders.roi_align import MaskReader, RoIAlignReader

__all__ = ["interval_logits", "start_at_box_pooling", "start_at_pooling"]

BINS = 24
INTERVALS = 800
RIDGE = 1e-5

MASK = 3
"""Weight of a mask's own tokens beside what its hint reads, which at first is arbitrary."""

PLACED = 0.05
"""Spread of the weights by which places enter the values: enough to learn from where a text's region lies."""


@torch.no_grad()
def start_at_box_pooling(
    prompter: Prompter, norm: nn.LayerNorm, projection: Float[Tensor, "c d"], temperature: int | float = 20
) -> None:
    """Give a prompter its first weights.

    Args:
        prompter: read off the hint, with one token a box and placed tokens.
        norm: the last normalisation of the CLIP that it reads.
        projection: from the width of the ViT to the joint space.
        temperature: how sharply texts look for tokens.

    Raises:
        UsageError: where the prompter is of another kind, or its frequencies need more directions than its width has.
    """
    places, width = 4 * prompter.frequencies, projection.shape[0]
    if prompter.pool != "hint" or prompter.of_box is None or prompter.attend_places is None:
        raise UsageError("box pooling can start a prompter with pool='hint', corner_tokens=1 and placed=True alone")
    rank = min(width - 1 - 2 * places, width - places, projection.shape[1]) // 2 * 2
    if rank < 1:
        raise UsageError(f"{prompter.frequencies} frequencies are too many for a width of {width}; take fewer")
    scale = norm.weight.detach().to(projection)
    left, sizes, right = torch.linalg.svd(projection - projection.mean(0))
    boxes, read = left[:, width - 1 - 2 * places : width - 1], left[:, :rank]
    in_joint_space = right[:rank].mT

    prompter.kinds.zero_()
    _set(prompter.of_box, boxes)
    _set(prompter.of_place, boxes[:, :places] + boxes[:, places:])
    turned = read.unflatten(1, (-1, 2)).flip(2).mul(read.new_tensor([1, -1])).flatten(1)
    _set(prompter.of_text, turned @ in_joint_space.mT)
    inside = MASK * read @ read.mT
    _set(prompter.of_mask[1], inside * scale, inside @ norm.bias.detach().to(projection))

    # The layer normalises a hint to length √c before, and divides likenesses by √c after.
    ask = 2 * math.sqrt(prompter.frequencies) * _interval_queries(prompter.frequencies, prompter.shortest)
    even = math.sqrt(float(ask.norm()) / math.sqrt(places))
    query, key = torch.zeros(2, width, width, dtype=projection.dtype, device=projection.device)
    query[:places] = (ask / even).to(projection) @ boxes.mT
    sharpness = math.sqrt(temperature / float((projection * scale[:, None]).norm()))
    query[places : places + rank] = sharpness * turned.mT
    key[places : places + rank] = sharpness * sizes[:rank, None] * read.mT * scale
    _set(prompter.attend, torch.cat([query, key, scale.diag()]))
    prompter.attend.bias[2 * width :] = norm.bias
    prompter.attend_places.weight[: 2 * width] = 0
    prompter.attend_places.weight[2 * width :].normal_(std=PLACED)
    prompter.attend_places.weight[width : width + places] = even * torch.eye(places)
    _set(prompter.mix, torch.eye(width))
    _silence(prompter.mlp[2])
    prompter.project.weight.copy_(projection.mT)


@torch.no_grad()
def start_at_pooling(reader: RoIAlignReader | MaskReader, norm: nn.LayerNorm, projection: Float[Tensor, "c d"]) -> None:
    """The same first weights for what a prompter is compared with: at step 0 it is pooling of f'.

    Args:
        reader: reads boxes or masks without attention.
        norm: the last normalisation of the CLIP that it reads.
        projection: from the width of the ViT to the joint space.
    """
    _set(reader.value, norm.weight.detach().diag(), norm.bias.detach())
    _silence(reader.mlp[2])
    reader.project.weight.copy_(projection.mT)


def interval_logits(frequencies: int, shortest: float) -> Float64[Tensor, "2 k"]:
    """Coefficients a and b of f: softmax over x of f(x - x0) + f(x1 - x) is nearly uniform over [x0, x1].

    Args:
        frequencies: sines and cosines of each coordinate.
        shortest: wavelength, as a fraction of the image.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = 0.02 * 50 ** torch.rand(INTERVALS, generator=generator, dtype=torch.float64)
    low = torch.rand(INTERVALS, generator=generator, dtype=torch.float64) * (1 - lengths)
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    low, high = low[:, None], (low + lengths)[:, None]
    wanted = (torch.minimum(edges[1:], high) - torch.maximum(edges[:-1], low)).clamp(min=0) / (high - low)
    centres = (edges[1:] + edges[:-1]) / 2
    angles = math.pi * (2 / shortest) ** torch.linspace(0, 1, frequencies, dtype=torch.float64)
    from_low, to_high = (centres - low)[..., None] * angles, (high - centres)[..., None] * angles
    waves = torch.cat([from_low.cos() + to_high.cos(), from_low.sin() + to_high.sin()], dim=-1)
    with torch.enable_grad():
        factors = torch.zeros(2 * frequencies, dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([factors], max_iter=300, line_search_fn="strong_wolfe")

        def distance() -> Tensor:
            search.zero_grad()
            loss = -(wanted * (waves @ factors).log_softmax(1)).sum(1).mean() + RIDGE * factors.square().sum()
            loss.backward()
            return loss

        search.step(distance)
    return factors.detach().view(2, frequencies)


def _interval_queries(frequencies: int, shortest: float) -> Float64[Tensor, "q p"]:
    """The matrix Q of the bilinear form: logits of a box are s(x, y) · Q s(box)."""
    a, b = (values.diag() for values in interval_logits(frequencies, shortest))
    low = torch.cat([torch.cat([a, b], dim=1), torch.cat([-b, a], dim=1)])
    high = torch.cat([torch.cat([a, -b], dim=1), torch.cat([b, a], dim=1)])
    none = torch.zeros_like(low)
    return torch.cat([torch.cat([low, none, high, none], dim=1), torch.cat([none, low, none, high], dim=1)])


def _set(layer: Any, weight: Tensor, bias: Tensor | None = None) -> None:
    layer.weight.copy_(weight)
    layer.bias.zero_() if bias is None else layer.bias.copy_(bias)


def _silence(layer: nn.Module) -> None:
    for weight in layer.parameters():
        weight.zero_()
