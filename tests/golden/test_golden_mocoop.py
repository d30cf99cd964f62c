"""MoCoOp: chosen experts, mixed texts, its three terms and the gradient of the experts' texts."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear, normalize
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden

from densevl.encoders.tuning.experts import mixed
from densevl.training.tuning.losses.expert_prototypes import prototype_cross_entropy
from densevl.training.tuning.losses.gate import gate_cross_entropy, gate_targets


def test_the_mixture_its_terms_and_their_gradient():
    outputs = adapters_golden("mocoop")
    image, raw, hard, weight, bias = (
        torch.from_numpy(outputs[name]).float() for name in ("image", "soft", "hard", "gate_weight", "gate_bias")
    )
    labels, sizes = torch.from_numpy(outputs["labels"]), outputs["groups"].tolist()
    raw.requires_grad_()
    image, soft = normalize(image, dim=-1), normalize(raw, dim=-1)
    groups = normalize(hard, dim=-1).split(sizes)
    prototypes = normalize(torch.stack([group.mean(0) for group in groups]), dim=-1)

    gate = linear(image, weight, bias)
    texts, chosen = mixed(soft, gate, outputs["chosen"].shape[1])
    assert np.array_equal(chosen, outputs["chosen"])
    assert_agrees(texts.detach(), outputs["text"])
    logits = 100 * torch.einsum("bd,bkd->bk", image, texts)
    assert_agrees(logits.detach(), outputs["logits"])
    assert_agrees(logits.detach(), outputs["logits_eval"])

    of_images, of_texts = cross_entropy(logits, labels), prototype_cross_entropy(soft, prototypes)
    of_gate = gate_cross_entropy(gate, gate_targets(image, prototypes, labels, chosen.shape[1]))
    assert_agrees(of_images.detach(), outputs["loss_image"])
    assert_agrees(of_texts.detach(), outputs["loss_text"])
    assert_agrees(of_gate.detach(), outputs["loss_gate"])
    factors = (float(outputs[f"{name}_loss_weight"]) for name in ("text", "gate"))
    loss = of_images + sum(factor * term for factor, term in zip(factors, (of_texts, of_gate), strict=True))
    assert_agrees(loss.detach(), outputs["loss"])
    loss.backward()
    assert_agrees(raw.grad, outputs["grad_soft"])
