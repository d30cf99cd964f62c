"""GOPro: learnt tokens that tokens of each layer shift, and its terms."""

import torch
from torch.nn.functional import cross_entropy
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden, by_rule

from densevl.encoders.tuning.contracts import moments
from densevl.encoders.tuning.style_context import StyleShift
from densevl.training.tuning.losses.view_contrast import view_cross_entropy
from densevl.training.tuning.losses.view_texts import text_distance


def test_terms():
    outputs = adapters_golden("gopro")
    logits, texts, moco, augmix, first, second = (
        torch.from_numpy(outputs[f"loss_{name}"]).float()
        for name in ("logits", "text", "text_moco", "text_augmix", "view1", "view2")
    )
    contrast = view_cross_entropy(first, second)
    assert_agrees(contrast, outputs["loss_contrastive"])
    of_texts = text_distance(texts, moco) + text_distance(texts, augmix)
    of_classes = cross_entropy(logits, torch.from_numpy(outputs["loss_labels"]))
    assert_agrees(of_classes + of_texts + 0.1 * contrast, outputs["loss"])


def test_the_learnt_tokens_of_each_image():
    outputs = adapters_golden("gopro")
    layers, wanted = torch.from_numpy(outputs["layers"]).float(), outputs["context"]
    depth, _, _, width = layers.shape
    shift = StyleShift(depth, width, wanted.shape[2])
    for name, parameter in shift.named_parameters():
        path = name.replace("style.", "style.linear.").replace("content.", "content.linear.")
        parameter.data.copy_(by_rule(f"gopro.{path}", tuple(parameter.shape)))
    learnt = by_rule("gopro.ctx", wanted.shape[1:])
    assert_agrees((learnt + shift(moments(layers.transpose(0, 1)))[:, None]).detach(), wanted)
