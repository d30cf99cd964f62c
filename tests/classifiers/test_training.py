"""The trainings of Tip-Adapter-F and NMTune against their published updates, written out in plain numbers (float64)."""

import numpy as np
import torch
from torch import nn
from toys.few_examples import few_shot_task

from densevl.classifiers.nmtune import BATCH as NMTUNE_BATCH
from densevl.classifiers.nmtune import NMTune, Reshaping
from densevl.classifiers.tip_adapter import TipAdapter

BETA1, BETA2, NORM_EPS = 0.9, 0.999, 1e-5


class AdamW:
    """Loshchilov and Hutter, Decoupled Weight Decay Regularization, Algorithm 2, of one array."""

    def __init__(self, decay, eps):
        self.decay, self.eps, self.steps, self.mean, self.square = decay, eps, 0, 0.0, 0.0

    def __call__(self, value, slope, rate):
        self.steps += 1
        self.mean = BETA1 * self.mean + (1 - BETA1) * slope
        self.square = BETA2 * self.square + (1 - BETA2) * slope**2
        unbiased = self.mean / (1 - BETA1**self.steps), self.square / (1 - BETA2**self.steps)
        return value - rate * self.decay * value - rate * unbiased[0] / (unbiased[1] ** 0.5 + self.eps)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_the_keys_of_tip_adapter_f_follow_the_slope_of_the_published_loss():
    """d CE / d c_j = Σ_x (p − y)_owner(j) · α β exp(−β (1 − x · c_j)) x, AdamW at 0.001 (eps 1e-4), a cosine to 0."""
    texts, examples, _ = few_shot_task(shots=4)
    alpha, beta, epochs = 2.0, 3.0, 5
    found = TipAdapter(alpha, beta, epochs).fit(texts, examples, 20.0).keys
    x, t, owners = examples.vectors.double().numpy(), texts.vectors.double().numpy(), examples.labels.numpy()
    right, keys, step = np.eye(len(t))[owners], x.copy(), AdamW(0.01, 1e-4)
    for epoch in range(epochs):
        near = np.exp(-beta * (1 - x @ keys.T))
        logits = 20.0 * x @ t.T + alpha * near @ right
        wrong = (softmax(logits) - right) / len(x)
        slope = (wrong[:, owners] * alpha * beta * near).T @ x
        keys = step(keys, slope, 0.001 * (1 + np.cos(np.pi * epoch / epochs)) / 2)
    assert np.abs(found.numpy() - x).max() > 1e-3, "the keys have moved"
    np.testing.assert_allclose(found.double().numpy(), keys, atol=2e-6)


def test_the_network_of_nmtune_follows_the_published_loss():
    """Normalisation, four terms and AdamW by hand; slopes by differentiating these very lines in float64."""
    texts, examples, test = few_shot_task(shots=6)
    epochs, width, classes = 4, examples.vectors.shape[1], len(texts.vocabulary)
    assert len(examples.labels) <= NMTUNE_BATCH
    found = NMTune(epochs=epochs, seed=3).fit(texts, examples)
    torch.manual_seed(3)
    network, head = Reshaping(width), nn.Linear(width, classes)
    names = {
        **{name: value.detach().double() for name, value in network.named_parameters()},
        **{f"head.{name}": value.detach().double() for name, value in head.named_parameters()},
    }
    steps = {name: AdamW(0.0001, 1e-8) for name in names}
    draw, running = torch.Generator().manual_seed(3), (torch.zeros(4 * width), torch.ones(4 * width))
    for _ in range(epochs):
        order = torch.randperm(len(examples.labels), generator=draw)
        both = torch.cat([order, order])
        f, labels = width**0.5 * examples.vectors[both].double(), examples.labels[both]
        w = {name: value.clone().requires_grad_() for name, value in names.items()}
        hidden = f @ w["first.weight"].T + w["first.bias"]
        mean, spread = hidden.mean(0), ((hidden - hidden.mean(0)) ** 2).mean(0)
        unit = (hidden - mean) / (spread + NORM_EPS).sqrt() * w["norm.weight"] + w["norm.bias"]
        z = w["scale"] * (unit.clamp(min=0) @ w["second.weight"].T + w["second.bias"]) + f
        logits = z @ w["head.weight"].T + w["head.bias"]
        chosen = logits[torch.arange(len(labels)), labels] - logits.exp().sum(1).log()
        length = lambda values: (values**2).sum(1, keepdim=True).sqrt()  # noqa: E731
        centred = z - z.mean(0)
        covariance = centred.T @ centred / (len(z) - 1)
        off = covariance - torch.diag(torch.diag(covariance))
        singular = torch.linalg.svdvals(z)
        loss = (
            -chosen.mean()
            + ((z / length(z) - f / length(f)) ** 2).mean()
            + 0.04 * (off**2).sum() / width
            - 0.001 * (singular[:5] / singular.sum()).mean()
        )
        loss.backward()
        names = {name: steps[name](names[name], w[name].grad, 0.001) for name in names}
        unbiased = spread.detach() * len(f) / (len(f) - 1)
        running = tuple(0.9 * old + 0.1 * new for old, new in zip(running, (mean.detach(), unbiased), strict=True))
    f = width**0.5 * test.vectors.double()
    hidden = f @ names["first.weight"].T + names["first.bias"]
    unit = (hidden - running[0]) / (running[1] + NORM_EPS).sqrt() * names["norm.weight"] + names["norm.bias"]
    z = names["scale"] * (unit.clamp(min=0) @ names["second.weight"].T + names["second.bias"]) + f
    expected = z @ names["head.weight"].T + names["head.bias"]
    torch.testing.assert_close(found(test.vectors).double(), expected, atol=1e-4, rtol=1e-4)
