"""NMTune: a small network that reshapes the vectors before a linear head, for encoders that learnt from noisy labels.

Source: Chen et al., Understanding and Mitigating the Label Noise in Pre-training on Downstream Tasks, ICLR 2024,
https://arxiv.org/abs/2309.17002; reference code Hhhhhhao/Noisy-Model-Learning at commit f249dce. With the frozen
features f of d numbers, and hats for unit vectors::

    z = c ⊙ MLP(f) + f        MLP = Linear(d, 4d), batch normalisation, ReLU, Linear(4d, d)
    loss = CE(head(z)) + mean((ẑ − f̂)²) + 0.04 Σ_{i≠j} cov(z)²_ij / d − 0.001 mean(five largest of σ / Σ σ)

σ are the singular values of the batch of z. AdamW at 0.001 with decay 0.0001, 30 epochs, batches of 64.

Where we differ: the weak and the strong view of an image, which the code puts into one batch, are the same vector
twice; unit vectors are made √d long, so that their numbers are as large as features are; the last epoch counts, and the
batch normalisation becomes part of the first layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.classifiers.contracts import Examples, check_examples
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["NMTune", "Reshaping", "ResidualClassifier", "loss_terms"]

WEIGHTS: Mapping[str, float] = {"classes": 1.0, "distance": 1.0, "covariance": 0.04, "singular": -0.001}
"""Weights of the terms of the loss."""

BATCH, RATE, DECAY, WIDER, LARGEST = 64, 0.001, 0.0001, 4, 5


@dataclass(frozen=True, eq=False)
class ResidualClassifier:
    """Logits of vectors that a network reshapes: ``head(z)`` with ``z = c ⊙ second(relu(first(f))) + f``.

    Attributes:
        factor: what unit vectors are multiplied by first.
        first_weight: of the first layer.
        first_bias: of the first layer.
        second_weight: of the second layer; the factors c are in it.
        second_bias: of the second layer; the factors c are in it.
        head_weight: of each class.
        head_bias: of each class.
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it takes; see :class:`densevl.classifiers.contracts.Classifier`.
    """

    factor: float
    first_weight: Float[Tensor, "h d"]
    first_bias: Float[Tensor, " h"]
    second_weight: Float[Tensor, "d h"]
    second_bias: Float[Tensor, " d"]
    head_weight: Float[Tensor, "k d"]
    head_bias: Float[Tensor, " k"]
    vocabulary: Vocabulary
    model_id: str
    space: str | None = None

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of unit vectors."""
        features = self.factor * vectors
        hidden = F.linear(features, self.first_weight.to(vectors), self.first_bias.to(vectors)).relu()
        reshaped = features + F.linear(hidden, self.second_weight.to(vectors), self.second_bias.to(vectors))
        return F.linear(reshaped, self.head_weight.to(vectors), self.head_bias.to(vectors))


class Reshaping(nn.Module):
    """The network in training: z of features.

    Args:
        width: numbers of a feature.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, WIDER * width)
        self.norm = nn.BatchNorm1d(WIDER * width)
        self.second = nn.Linear(WIDER * width, width)
        self.scale = nn.Parameter(torch.ones(1, width))

    def forward(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The reshaped features."""
        reshaped: Tensor = self.scale * self.second(self.norm(self.first(features)).relu()) + features
        return reshaped

    @property
    def layers(self) -> dict[str, Tensor]:
        """The two layers of :class:`ResidualClassifier`: normalisation and factors are multiplied into them."""
        assert self.norm.running_var is not None
        assert self.norm.running_mean is not None
        stretch = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        layers = {
            "first_weight": stretch[:, None] * self.first.weight,
            "first_bias": stretch * (self.first.bias - self.norm.running_mean) + self.norm.bias,
            "second_weight": self.scale.mT * self.second.weight,
            "second_bias": self.scale[0] * self.second.bias,
        }
        return {name: layer.detach() for name, layer in layers.items()}


def loss_terms(
    features: Float[Tensor, "n d"],
    reshaped: Float[Tensor, "n d"],
    logits: Float[Tensor, "n k"],
    labels: Int[Tensor, " n"],
) -> dict[str, Float[Tensor, ""]]:
    """The terms of the loss by name, without their weights.

    Args:
        features: frozen, a batch of two or more.
        reshaped: z of them.
        logits: of the head.
        labels: class of each.
    """
    covariance = reshaped.mT.cov()
    singular = torch.linalg.svdvals(reshaped)
    return {
        "classes": F.cross_entropy(logits, labels),
        "distance": F.mse_loss(F.normalize(reshaped, dim=1), F.normalize(features, dim=1)),
        "covariance": (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance),
        "singular": (singular / singular.sum())[:LARGEST].mean(),
    }


@dataclass(frozen=True)
class NMTune:
    """A network before a linear head, trained on the examples.

    Attributes:
        epochs: rounds through the examples.
        seed: of the weights at the start and of the order of the examples.
    """

    epochs: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UsageError(f"nmtune: epochs are rounds of training, 1 or more; got {self.epochs}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"nmtune(epochs={self.epochs}, seed={self.seed})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> ResidualClassifier:
        """A classifier of the classes of the texts.

        Args:
            texts: the vocabulary; its vectors are not looked at.
            examples: at least one of each class.
            temperature: not used, since there is no cosine of a text.

        Raises:
            UsageError: where there are no examples, a class has none, or they cannot be used.
        """
        found = check_examples("nmtune", texts, examples, every_class=True)
        return _trained(texts.vocabulary, found, self.epochs, self.seed)


@torch.inference_mode(False)
@torch.enable_grad()
def _trained(vocabulary: Vocabulary, examples: Examples, epochs: int, seed: int) -> ResidualClassifier:
    device, width = examples.vectors.device, examples.vectors.shape[1]
    factor = width**0.5
    features, labels = factor * examples.vectors, examples.labels.clone()
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network, head = Reshaping(width).to(device), nn.Linear(width, len(vocabulary)).to(device)
    draw = torch.Generator().manual_seed(seed)
    learnt = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(learnt, lr=RATE, weight_decay=DECAY)
    for _ in range(epochs):
        for batch in torch.randperm(len(features), generator=draw).split(BATCH):
            some = torch.cat([batch, batch]).to(device)
            reshaped = network(features[some])
            terms = loss_terms(features[some], reshaped, head(reshaped), labels[some])
            loss = torch.stack([weight * terms[name] for name, weight in WEIGHTS.items()]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    last = {"head_weight": head.weight.detach(), "head_bias": head.bias.detach()}
    return ResidualClassifier(
        factor, **network.layers, **last, vocabulary=vocabulary, model_id=examples.model_id, space=examples.space
    )
