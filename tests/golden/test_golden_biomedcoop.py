"""BiomedCoOp: logits, its three terms and the gradient of the class texts, as the published code computes them."""

import torch
from torch.nn.functional import normalize
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden

from densevl.core.registry import build
from densevl.encoders.tuning.contracts import Look
from densevl.training.tuning.contracts import Step
from densevl.training.tuning.losses import LOSSES


def test_terms_and_their_gradient():
    outputs = {
        name: torch.from_numpy(array).float() if array.dtype.kind == "f" else torch.from_numpy(array)
        for name, array in adapters_golden("biomedcoop").items()
    }
    text = outputs["text"].requires_grad_()
    step = Step(
        Look(normalize(outputs["image"], dim=-1)),
        outputs["labels"],
        normalize(text, dim=-1),
        [str(name) for name in range(len(text))],
        float(outputs["logit_scale"]),
        descriptions=normalize(outputs["descriptions"], dim=-1),
    )
    terms = [
        build(LOSSES, config)(step)
        for config in (
            {"type": "cross-entropy"},
            {"type": "description-mean", "weight": float(outputs["sccm_lambda"])},
            {
                "type": "description-teacher",
                "weight": float(outputs["kdsp_lambda"]),
                "limit": float(outputs["tau"]),
            },
        )
    ]
    assert_agrees(step.logits.detach(), outputs["logits"].numpy())
    for name, term in zip(("loss_ce", "loss_sccm", "loss_kdsp"), terms, strict=True):
        assert_agrees(term.detach(), outputs[name].numpy())
    sum(terms).backward()
    assert_agrees(text.grad, outputs["grad_text"].numpy())
