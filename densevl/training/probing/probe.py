"""A linear probe, trained as EmbCLIP trains its: Adam at 1e-3 over frozen features, in batches of 128 images.

Source: Khandelwal et al., Simple but Effective: CLIP Embeddings for Embodied AI, CVPR 2022,
https://arxiv.org/abs/2111.09888; defaults from allenai/embodied-clip at bf69559. At each position of a grid the same
linear map is asked, which is a convolution of 1×1. Where we differ: inputs are standardised by the images that train,
so that features of any scale are learnt from alike; the map starts at zero; and one class among several is asked by
one softmax, where the reference takes the softmax of a softmax.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from densevl.core.errors import UsageError

__all__ = ["Probe", "fit_probe"]

RATE, BATCH, EPOCHS = 1e-3, 128, 250


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear map of standardised inputs.

    Attributes:
        weight: of each output.
        bias: of each output.
        mean: of the inputs that trained.
        scale: their standard deviation; 1 where an input never changes.
    """

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, " k"]
    mean: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]

    def __call__(self, inputs: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits."""
        return F.linear((inputs - self.mean) / self.scale, self.weight, self.bias)


def fit_probe(
    inputs: Float[Tensor, "n p d"],
    targets: Shaped[Tensor, "n p *k"],
    outputs: int,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Probe:
    """A probe of n images at p positions each.

    Args:
        inputs: features.
        targets: bool "n p k", any of k classes at once, each by a sigmoid; or integers "n p", one class among them, by
            a softmax.
        outputs: k.
        epochs: times that each image is seen.
        seed: of the order of the images.

    Raises:
        UsageError: where there is no image, no epoch, or a number is not finite.
    """
    if not len(inputs) or epochs < 1:
        raise UsageError(f"a probe learns from one image in one epoch at least; got {len(inputs)} in {epochs}")
    if not inputs.isfinite().all():
        raise UsageError("the features hold numbers that are not finite; look at the weights of the model")
    flat = inputs.flatten(0, 1)
    mean, spread = flat.mean(0), flat.std(0, correction=0)
    scale = torch.where(spread > 1e-8, spread, torch.ones_like(spread))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        layer = nn.Linear(inputs.shape[2], outputs)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        optimizer = torch.optim.Adam(layer.parameters(), lr=RATE)
        standardised = (inputs - mean) / scale
        for _ in range(epochs):
            for batch in torch.randperm(len(inputs)).split(BATCH):
                logits, wanted = layer(standardised[batch]), targets[batch]
                if wanted.dtype == torch.bool:
                    loss = F.binary_cross_entropy_with_logits(logits, wanted.float())
                else:
                    loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten())
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return Probe(layer.weight.detach(), layer.bias.detach(), mean, scale)
