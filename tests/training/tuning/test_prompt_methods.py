"""CoOp, CoCoOp and MaPLe from their entries: they learn, and what they learnt is loaded again."""

import pytest
import torch
from toys.clip import tiny_clip
from toys.tuning import NAMES

from densevl.encoders.tuning.attached import attached, delta_of
from densevl.encoders.tuning.contracts import ClassTexts, Look
from densevl.training.tuning.methods import method_settings
from densevl.training.tuning.run import run_tuning

SHALLOW = {"type": "deep-prompts", "words": "", "count": 2, "depth": 1}
"""The tiny CLIP has one block of texts."""


@pytest.mark.parametrize("method", ["coop", "cocoop", "maple"])
def test_what_a_method_learns_is_loaded_again(tuned, method):
    entry = vars(method_settings(method, "mini-clip@1"))
    lr = {"type": "SGD", "lr": 0.05}
    model = tuned(
        **{**entry, "optimizer": lr, "steps": 12, "batch": 6, "views": 1, "crop": None, "flip": False} | changes(entry)
    )
    with torch.no_grad():
        before = model.step(range(6), [None] * 6)
    run_tuning(model, 12)
    with torch.no_grad():
        after = model.step(range(6), [None] * 6)
        assert loss(after) < loss(before)
        again = attached(tiny_clip().eval(), model.delta())
        assert again.model_id.startswith("tiny@1+") == (method == "maple")
        images = torch.rand(2, 3, 24, 24, dtype=torch.float64)
        torch.testing.assert_close(again.embed_images(images), model.encoder.embed_images(images))
        torch.testing.assert_close(again.embed_texts(["red star"]), model.encoder.embed_texts(["red star"]))
        (one,) = again.tuned
        if isinstance(one, ClassTexts):
            look = Look(after.look.vectors)
            torch.testing.assert_close(one.class_vectors(NAMES, look), after.texts)
    assert delta_of(list(again.tuned), model.base_id).digest == model.delta().digest


def changes(entry):
    """What the tiny CLIP needs otherwise."""
    texts = entry["class_texts"] and {**entry["class_texts"], "count": 3}
    if texts and "reduction" in texts:
        texts["reduction"] = 2
    return {"class_texts": texts, "schedule": {}, "tunables": (SHALLOW,) if entry["tunables"] else ()}


def loss(step):
    return float(torch.nn.functional.cross_entropy(step.logits, step.labels))
